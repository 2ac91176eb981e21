import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { type Answer, request } from '../../support/http.ts'
import { KnownBlob, MIB } from './known-blob.ts'
import type { Random } from './random.ts'

const TAGS = 3
const MAX_LAYER_BYTES = 3 * MIB
const CONFIG_BYTES = 500

/** A manifest as it was pushed. */
export interface PushedManifest {
  readonly digest: Digest
  readonly bytes: Buffer
}

/** What a tag may mean; undefined when it need not be there. */
interface TagState {
  /** What was acknowledged or seen last. */
  settled: Digest | undefined
  /** What was on its way when the connection went. */
  attempted: Digest | undefined
}

/** A blob whose upload was cut off. */
export interface CutUpload {
  readonly blob: KnownBlob
  /** Where the session is. */
  readonly path: string
}

/** A client that pushes image after image into a repository of its own and remembers what it was promised. */
export class Pusher {
  readonly repository: string
  readonly blobs: KnownBlob[] = []
  readonly manifests: PushedManifest[] = []
  readonly #tags = new Map<string, TagState>()
  readonly #random: Random
  readonly #onAcknowledged: () => void
  #images = 0
  #uploading: CutUpload | undefined

  /** @param onAcknowledged told of each blob and manifest that was acknowledged */
  constructor(name: string, random: Random, onAcknowledged: () => void) {
    this.repository = `pusher/${name}`
    this.#random = random
    this.#onAcknowledged = onAcknowledged
  }

  /** Pushes until the registry is gone. @returns the upload that was cut off, if it was one */
  async pushUntilGone(registryUrl: string): Promise<CutUpload | undefined> {
    this.#uploading = undefined
    try {
      for (;;) await this.pushImage(registryUrl)
    } catch (error) {
      if (error instanceof UnexpectedAnswerError) throw error
      return this.#uploading
    }
  }

  /** @throws when the registry is gone, or answers with anything but that it took the image */
  async pushImage(registryUrl: string): Promise<void> {
    const name = `${this.repository}/${this.#images++}`
    const config = new KnownBlob(`${name}/config`, CONFIG_BYTES, this.repository)
    const layer = new KnownBlob(`${name}/layer`, this.#random.integer(1, MAX_LAYER_BYTES), this.repository)
    for (const blob of [config, layer]) await this.#pushBlob(registryUrl, blob)
    await this.#pushManifest(registryUrl, config, layer)
  }

  /** What each tag may mean. */
  tags(): [tag: string, meanings: (Digest | undefined)[]][] {
    return [...this.#tags].map(([tag, { settled, attempted }]) => [tag, [settled, attempted]])
  }

  /** Whoever has seen a tag mean this must not see it go back. */
  sawTag(tag: string, settled: Digest | undefined): void {
    this.#tags.set(tag, { settled, attempted: settled })
  }

  /** Goes on with an upload where the registry says that it is. @returns false when the registry has forgotten it */
  async resume(registryUrl: string, { blob, path }: CutUpload): Promise<boolean> {
    const session = new URL(path, registryUrl)
    const progress = await request(session.href)
    if (progress.status === 404) return false
    expectStatus(progress, 204)
    const [, last] = /^0-(\d+)$/.exec(progress.headers.get('range') ?? '') ?? []
    // 0-0 stands for no byte as well as for one; uploads are cut at neither.
    const start = Number(last) === 0 ? 0 : Number(last) + 1
    await this.#finish(session, blob, start)
    return true
  }

  async #pushBlob(registryUrl: string, blob: KnownBlob): Promise<void> {
    const started = await request(`${registryUrl}/v2/${this.repository}/blobs/uploads/`, { method: 'POST' })
    expectStatus(started, 202)
    const session = locationOf(started, registryUrl)
    this.#uploading = { blob, path: session.pathname }
    const cut = this.#random.integer(0, blob.size)
    const patch = { method: 'PATCH', headers: chunkHeaders(0, cut), body: blob.content.subarray(0, cut) }
    if (cut > 0) expectStatus(await request(session.href, patch), 202)
    await this.#finish(session, blob, cut)
    this.#uploading = undefined
  }

  async #finish(session: URL, blob: KnownBlob, start: number): Promise<void> {
    const url = new URL(session)
    url.searchParams.set('digest', blob.digest)
    const rest = blob.content.subarray(start)
    const body = rest.length === 0 ? {} : { headers: chunkHeaders(start, blob.size), body: rest }
    expectStatus(await request(url.href, { method: 'PUT', ...body }), 201)
    this.blobs.push(blob)
    this.#onAcknowledged()
  }

  async #pushManifest(registryUrl: string, config: KnownBlob, layer: KnownBlob): Promise<void> {
    const bytes = manifestBytes(config, layer)
    const digest = digestOf(bytes)
    const tag = `t${this.#random.integer(1, TAGS)}`
    this.#tags.set(tag, { settled: this.#tags.get(tag)?.settled, attempted: digest })
    const headers = { 'Content-Type': MEDIA_TYPE.ociManifest }
    const url = `${registryUrl}/v2/${this.repository}/manifests/${tag}`
    expectStatus(await request(url, { method: 'PUT', headers, body: bytes }), 201)
    this.sawTag(tag, digest)
    this.manifests.push({ digest, bytes })
    this.#onAcknowledged()
  }
}

class UnexpectedAnswerError extends Error {
  override readonly name = 'UnexpectedAnswerError'
}

function expectStatus({ status, body }: Answer, expected: number): void {
  if (status !== expected) throw new UnexpectedAnswerError(`${status} instead of ${expected}: ${body.toString()}`)
}

function locationOf({ headers }: Answer, registryUrl: string): URL {
  const location = headers.get('location')
  if (location === null) throw new UnexpectedAnswerError('the registry gave no Location')
  return new URL(location, registryUrl)
}

function chunkHeaders(start: number, end: number): Record<string, string> {
  return { 'Content-Type': 'application/octet-stream', 'Content-Range': `${start}-${end - 1}` }
}

function manifestBytes(config: KnownBlob, layer: KnownBlob): Buffer {
  const describe = ({ digest, size }: KnownBlob, mediaType: string) => ({ mediaType, digest, size })
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: describe(config, MEDIA_TYPE.ociConfig),
      layers: [describe(layer, MEDIA_TYPE.ociLayerGzip)]
    })
  )
}
