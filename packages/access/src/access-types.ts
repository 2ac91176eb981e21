import type { PeerCertificate } from 'node:tls'
import type { Repository } from '@layermesh/oci'

/** What a client may be allowed in a repository. create: push what is new; update: have an existing tag mean something else. */
export type RepositoryAction = 'pull' | 'create' | 'update' | 'delete'

export const REPOSITORY_ACTIONS: readonly RepositoryAction[] = Object.freeze(['pull', 'create', 'update', 'delete'])

/** Where clients get tokens, on each node. */
export const TOKEN_PATH = '/auth/token'

/** What a client showed to prove who it is. */
export interface ClientProof {
  /** The header of this name, as it came. */
  readonly authorization: string | undefined
  /** Only when TLS has verified it. */
  readonly certificate: PeerCertificate | undefined
  /** The IP address that the client connects from, or the peer id of the node that passes its request on. */
  readonly address: string
}

/** For what a client is asked to prove who it is. */
export interface ChallengeScope {
  readonly repository: Repository
  readonly actions: readonly RepositoryAction[]
}

/** How a client proved who it is, so that the source can be asked again later whether that still holds. */
export interface IdentitySource {
  readonly kind: 'anonymous' | 'htpasswd' | 'apiKey' | 'oidc' | 'certificate'
  /** htpasswd: a fingerprint of the hash of the password; apiKey: the key's id; oidc: the issuer; else empty. */
  readonly id: string
}

/** What narrows the rights that the rules give a client. */
export interface Narrowing {
  allows(action: RepositoryAction, repository: Repository): boolean
}

/** What a token covers. */
export interface TokenCoverage extends Narrowing {
  /** Whether it was made to list repositories: all those that its user may pull from. */
  readonly lists: boolean
}

/** Who a client is. */
export interface Identity {
  /** Undefined for the anonymous. */
  readonly name: string | undefined
  /** Groups that the source told of; those of the configuration come on top. */
  readonly groups: readonly string[]
  readonly source: IdentitySource
  /** From when on the credential means nothing, in ms since 1970; undefined when that is not known. */
  readonly expiresAtMs: number | undefined
  /** What the credential that proved it is limited to, whatever token was made of it; undefined for no limit. */
  readonly limit?: Narrowing
  /** What the token that was shown covers; undefined when the credential itself was shown. */
  readonly token?: TokenCoverage
}

/** Whoever shows nothing. */
export const ANONYMOUS: Identity = Object.freeze({
  name: undefined,
  groups: Object.freeze([]),
  source: Object.freeze({ kind: 'anonymous', id: '' }),
  expiresAtMs: undefined
})

/** Where this package writes its log; pino fits as it is. */
export interface AccessLog {
  debug(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
  warn(fields: Readonly<Record<string, unknown>>, message: string): void
}

/** Milliseconds since 1970. */
export type Clock = () => number
