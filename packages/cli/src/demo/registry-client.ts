import { openAsBlob } from 'node:fs'
import {
  createDigestHash,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestOf,
  digestOfHash,
  MEDIA_TYPE,
  parseManifest
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { DemoImage } from './image.ts'

/** What a client got. */
export interface PulledImage {
  /** Of the manifest. */
  readonly digest: Digest
  /** Length of manifest, config and layers, in bytes. */
  readonly bytes: number
  readonly elapsedMs: number
}

/** As much of a container client as pushes and pulls one image (OCI distribution-spec §Push, §Pull). */
export class RegistryClient {
  readonly #base: string
  readonly #signal: AbortSignal

  /** @param registry `http://HOST:PORT` */
  constructor(registry: string, repository: string, signal: AbortSignal) {
    this.#base = `${registry}/v2/${repository}`
    this.#signal = signal
  }

  async push({ manifest, config, layers }: DemoImage, tag: string): Promise<void> {
    for (const { digest, path } of layers) await this.pushBlob(digest, await openAsBlob(path))
    await this.pushBlob(digestOf(config), config)
    const headers = { 'content-type': MEDIA_TYPE.ociManifest }
    await this.ask(`/manifests/${tag}`, { method: 'PUT', headers, body: toBody(manifest) })
  }

  /** Gets manifest, config and layers, and checks each against its digest. */
  async pull(reference: string): Promise<PulledImage> {
    const started = performance.now()
    const headers = { accept: MEDIA_TYPE.ociManifest }
    const response = await this.ask(`/manifests/${reference}`, { headers })
    const bytes = new Uint8Array(await response.arrayBuffer())
    const digest = digestOf(bytes)
    const promised = reference.includes(':') ? reference : response.headers.get('docker-content-digest')
    if (promised !== digest) throw new CliFailure('FAILED', `${response.url} gave ${digest} instead of ${promised}`)
    const manifest = parseManifest(bytes)
    if (manifest.kind !== 'image') throw new CliFailure('FAILED', `${response.url} gave no image`)
    const parts = [manifest.config, ...manifest.layers]
    for (const part of parts) await this.pullBlob(part)
    const total = parts.reduce((sum, { size }) => sum + size, bytes.byteLength)
    return { digest, bytes: total, elapsedMs: performance.now() - started }
  }

  private async pushBlob(digest: Digest, body: Blob | Uint8Array): Promise<void> {
    const session = await this.ask('/blobs/uploads/', { method: 'POST' })
    const location = new URL(session.headers.get('location') ?? '', session.url)
    location.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream' }
    await this.ask(location, { method: 'PUT', headers, body: body instanceof Blob ? body : toBody(body) })
  }

  private async pullBlob({ digest, size }: Descriptor): Promise<void> {
    const response = await this.ask(`/blobs/${digest}`)
    const hash = createDigestHash(digestAlgorithm(digest))
    let length = 0
    for await (const chunk of response.body ?? []) {
      hash.update(chunk)
      length += chunk.byteLength
    }
    if (length !== size || digestOfHash(digestAlgorithm(digest), hash.digest()) !== digest) {
      throw new CliFailure('FAILED', `${response.url} gave other bytes than those of its digest`)
    }
  }

  private async ask(target: string | URL, init: RequestInit = {}): Promise<Response> {
    const url = typeof target === 'string' ? `${this.#base}${target}` : target
    const response = await fetch(url, { ...init, signal: this.#signal }).catch((cause: unknown) => {
      throw new CliFailure('FAILED', `${init.method ?? 'GET'} ${url} failed: ${reasonOf(cause)}`, { cause })
    })
    if (response.ok) return response
    const text = (await response.text()).slice(0, 200)
    throw new CliFailure('FAILED', `${init.method ?? 'GET'} ${url} was answered with ${response.status}: ${text}`)
  }
}

/** What `fetch` hides behind its "fetch failed". */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}

function toBody(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
