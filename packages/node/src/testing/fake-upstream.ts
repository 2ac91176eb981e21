import { type Descriptor, type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import {
  type FetchedBlob,
  type FetchedManifest,
  type ManifestHead,
  UpstreamError,
  type UpstreamErrorCode,
  type UpstreamIdentity,
  type UpstreamRegistry,
  type UpstreamRequest
} from '@layermesh/upstream'
import { type MirrorPolicy, Mirrors } from '../mirror/mirrors.ts'

/** Another registry, in memory. What is asked of it is written down: `HEAD library/app 1 node`. */
export class FakeUpstream implements UpstreamRegistry {
  readonly host: string
  readonly asked: string[] = []
  readonly referring: Descriptor[] = []
  /** Thrown whenever it is asked. */
  failing: UpstreamErrorCode | undefined
  /** Who may pull; everybody when undefined. */
  allowed: ((as: UpstreamIdentity) => boolean) | undefined
  /** Awaited before each answer. */
  delay: Promise<unknown> | undefined
  readonly #tags = new Map<string, Digest>()
  readonly #content = new Map<Digest, Uint8Array>()

  constructor(host = 'docker.io') {
    this.host = host
  }

  tag(reference: string, manifest: Uint8Array): Digest {
    const digest = this.add(manifest)
    this.#tags.set(reference, digest)
    return digest
  }

  untag(reference: string): void {
    this.#tags.delete(reference)
  }

  add(bytes: Uint8Array): Digest {
    const digest = digestOf(bytes)
    this.#content.set(digest, bytes)
    return digest
  }

  /** Has it give other bytes than a digest stands for. */
  spoil(digest: Digest, bytes: Uint8Array): void {
    this.#content.set(digest, bytes)
  }

  drop(digest: Digest): void {
    this.#content.delete(digest)
  }

  async headManifest(name: string, reference: string, request: UpstreamRequest): Promise<ManifestHead | undefined> {
    await this.#answer('HEAD', name, reference, request)
    const digest = reference.includes(':') ? (reference as Digest) : this.#tags.get(`${name}:${reference}`)
    const bytes = digest && this.#content.get(digest)
    return bytes && { digest, mediaType: MEDIA_TYPE.ociManifest, size: bytes.byteLength }
  }

  async getManifest(name: string, reference: string, request: UpstreamRequest): Promise<FetchedManifest | undefined> {
    await this.#answer('GET', name, reference, request)
    const bytes = this.#content.get(reference as Digest)
    const mediaType = MEDIA_TYPE.ociManifest
    return bytes && { digest: reference as Digest, mediaType, size: bytes.byteLength, bytes }
  }

  async headBlob(name: string, digest: Digest, request: UpstreamRequest): Promise<number | undefined> {
    await this.#answer('HEAD blob', name, digest, request)
    return this.#content.get(digest)?.byteLength
  }

  async openBlob(
    name: string,
    digest: Digest,
    start: number,
    request: UpstreamRequest
  ): Promise<FetchedBlob | undefined> {
    await this.#answer('GET blob', name, digest, request)
    const bytes = this.#content.get(digest)
    return bytes && { size: bytes.byteLength, body: once(bytes.subarray(start)) }
  }

  async referrers(name: string, subject: Digest, request: UpstreamRequest): Promise<Descriptor[] | undefined> {
    await this.#answer('referrers', name, subject, request)
    return [...this.referring]
  }

  async listTags(
    name: string,
    _page: { readonly after?: string; readonly limit: number },
    request: UpstreamRequest
  ): Promise<string[] | undefined> {
    await this.#answer('tags', name, '', request)
    const names = [...this.#tags.keys()].filter((key) => key.startsWith(`${name}:`))
    return names.length === 0 ? undefined : names.map((key) => key.slice(name.length + 1))
  }

  async #answer(what: string, name: string, reference: string, { as = 'node' }: UpstreamRequest): Promise<void> {
    this.asked.push(`${what} ${name} ${reference} ${typeof as === 'string' ? as : as.authorization}`)
    await this.delay
    if (this.failing) throw new UpstreamError(this.failing, this.host, 'it fails, as the test wants')
    if (this.allowed?.(as) === false) throw new UpstreamError('UNAUTHORIZED', this.host, 'not for you')
  }
}

/** Mirrors of that registry alone. */
export function mirrorsOf(
  upstream: FakeUpstream,
  { isolates = false, ...policy }: Partial<MirrorPolicy> & { isolates?: boolean } = {}
): Mirrors {
  const get = (host: string) => (host === upstream.host ? upstream : undefined)
  const named = new Map([[upstream.host, { direct: true, judgesClients: false, ...policy }]])
  return new Mirrors({ get }, { named, isolates, others: false })
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
