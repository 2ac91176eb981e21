import type { Descriptor, Digest } from '@layermesh/oci'

/** Something that proves to a registry who asks. */
export type Credential =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** A refresh token, which its token service changes into access tokens (Docker calls it an identity token). */
  | { readonly kind: 'identityToken'; readonly token: string }
  /** An access token, shown to the registry as it is. */
  | { readonly kind: 'registryToken'; readonly token: string }

/** A credential and how long it holds. */
export interface IssuedCredential {
  readonly credential: Credential
  /** In ms since 1970; undefined when that is not known. */
  readonly expiresAt?: number
}

/** Where the credentials for a registry come from. */
export interface CredentialSource {
  /** What it is, for logs: `ecr`, `docker-config`. */
  readonly name: string
  /**
   * The credential for a repository now, which may be one that it gave before.
   * @param host the registry as repositories name it, such as `docker.io`
   * @param repository its name at that registry, such as `library/nginx`
   * @returns undefined when there is none, so that the registry is asked anonymously
   * @throws {UpstreamError} CREDENTIALS_UNAVAILABLE
   */
  get(host: string, repository: string, signal: AbortSignal): Promise<IssuedCredential | undefined>
  /** The registry did not take this one: it is not given again, if another can be had. */
  refused(credential: Credential): void
}

/**
 * On whose behalf a registry is asked: this node with its configured credentials, nobody, or a client by the
 * `Authorization` header that it sent.
 */
export type UpstreamIdentity = 'node' | 'anonymous' | { readonly authorization: string }

/** How a registry is asked. */
export interface UpstreamRequest {
  readonly signal: AbortSignal
  /** @default 'node' */
  readonly as?: UpstreamIdentity
}

/** What a manifest is, without its bytes. */
export type ManifestHead = Pick<Descriptor, 'digest' | 'mediaType' | 'size'>

/** A manifest, byte for byte; its digest was checked. */
export interface FetchedManifest extends ManifestHead {
  readonly bytes: Uint8Array
}

/** A blob that comes from a registry. */
export interface FetchedBlob {
  /** Length of the whole blob in bytes. */
  readonly size: number
  /**
   * The bytes from the `start` that was asked for to the end, in order; resumed unseen when they break off. Not checked
   * against the digest. Nothing is read ahead beyond a small buffer while nobody takes them. Leaving the loop closes the
   * connection. @throws {UpstreamError}
   */
  readonly body: AsyncIterable<Uint8Array>
}

/** One other registry. Whatever it does not have is undefined; all else throws {@link UpstreamError}. */
export interface UpstreamRegistry {
  /** As repositories name it, such as `docker.io`. */
  readonly host: string
  /** Asks what a tag or digest means, by `HEAD`, which no known registry counts against its rate limit. */
  headManifest(name: string, reference: string, request: UpstreamRequest): Promise<ManifestHead | undefined>
  getManifest(name: string, reference: string, request: UpstreamRequest): Promise<FetchedManifest | undefined>
  /** Length of a blob in bytes. */
  headBlob(name: string, digest: Digest, request: UpstreamRequest): Promise<number | undefined>
  /** @param start offset of the first byte that is wanted; a registry that knows no ranges has the bytes before it skipped */
  openBlob(name: string, digest: Digest, start: number, request: UpstreamRequest): Promise<FetchedBlob | undefined>
  /** What refers to a manifest: by the referrers API, else by the fallback tag (distribution-spec §Referrers Tag Schema). */
  referrers(name: string, subject: Digest, request: UpstreamRequest): Promise<Descriptor[] | undefined>
  /** Tags in the order of the registry, at most `limit` after `after`. */
  listTags(
    name: string,
    page: { readonly after?: string; readonly limit: number },
    request: UpstreamRequest
  ): Promise<string[] | undefined>
}

/** The registries that this node may ask. */
export interface Upstreams {
  /** The registry for names without a hint; undefined when there is none. */
  readonly defaultHost: string | undefined
  /** Undefined for a registry that must not be asked. */
  get(host: string): UpstreamRegistry | undefined
  /** Ends all connections. */
  close(): Promise<void>
}
