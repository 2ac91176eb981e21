import { randomBytes } from 'node:crypto'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'

/** What of a pushed image the suite's pull-only run asks for. */
export interface PushedImage {
  readonly tag: string
  readonly manifests: readonly Digest[]
  readonly blobs: readonly Digest[]
  readonly subject: Digest
}

/** Pushes an image of three layers and an artifact that refers to it. */
export async function pushImage(url: string, repository: string): Promise<PushedImage> {
  const push = new Push(`${url}/v2/${repository}`)
  const layers = [512, 5_000_000, 100_000].map((length) => randomBytes(length))
  const empty = await push.blob(MEDIA_TYPE.ociEmpty, Buffer.from('{}'))
  const config = await push.blob(MEDIA_TYPE.ociConfig, Buffer.from('{"architecture":"amd64","os":"linux"}'))
  const pushed = await Promise.all(layers.map((layer) => push.blob(MEDIA_TYPE.ociLayerGzip, layer)))
  const image = await push.manifest('pulled', { config, layers: pushed })
  const note = await push.blob('text/plain', Buffer.from('a note'))
  const artifact = await push.manifest('note', {
    artifactType: 'text/plain',
    config: empty,
    layers: [note],
    subject: image
  })
  return {
    tag: 'pulled',
    manifests: [image.digest, artifact.digest],
    blobs: [empty, config, ...pushed, note].map(({ digest }) => digest),
    subject: image.digest
  }
}

interface Pushed {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/** Pushes into one repository, in the plainest way that the spec has. */
class Push {
  readonly #base: string

  constructor(base: string) {
    this.#base = base
  }

  async blob(mediaType: string, bytes: Uint8Array): Promise<Pushed> {
    const digest = digestOf(bytes)
    await created(`${this.#base}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: Buffer.from(bytes) })
    return { mediaType, digest, size: bytes.byteLength }
  }

  async manifest(tag: string, fields: Readonly<Record<string, unknown>>): Promise<Pushed> {
    const mediaType = MEDIA_TYPE.ociManifest
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }))
    const headers = { 'content-type': mediaType }
    await created(`${this.#base}/manifests/${tag}`, { method: 'PUT', headers, body: bytes })
    return { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
  }
}

async function created(url: string, request: RequestInit): Promise<void> {
  const response = await fetch(url, request)
  if (response.status !== 201) throw new Error(`${request.method} ${url}: ${response.status} ${await response.text()}`)
}
