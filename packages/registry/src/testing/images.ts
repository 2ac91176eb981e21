import { randomBytes } from 'node:crypto'
import { digestOf, MEDIA_TYPE, type Repository, type Tag } from '@layermesh/oci'
import type { MemoryBackend } from './memory-backend.ts'

/** What a manifest says of these bytes. */
export function describe(mediaType: string, bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256') {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.byteLength }
}

/** A manifest of one image. The spacing is odd on purpose: it has to survive. */
export function imageManifest(
  config: Uint8Array,
  layers: readonly Uint8Array[],
  more: Readonly<Record<string, unknown>> = {}
): Buffer {
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: describe(MEDIA_TYPE.ociConfig, config),
    layers: layers.map((layer) => describe(MEDIA_TYPE.ociLayerGzip, layer)),
    ...more
  }
  return Buffer.from(`${JSON.stringify(manifest, null, 3)}\n`)
}

/** A manifest that lists others. */
export function imageIndex(manifests: readonly Uint8Array[], more: Readonly<Record<string, unknown>> = {}): Buffer {
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: manifests.map((manifest) => describe(MEDIA_TYPE.ociManifest, manifest)),
    ...more
  }
  return Buffer.from(JSON.stringify(index))
}

/** An image of one layer for each length, which is in `repository` under `tag`. */
export function addImage(backend: MemoryBackend, repository: string, tag: string, ...layerLengths: number[]) {
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', made: randomBytes(4).toString('hex') })
  )
  const layers = layerLengths.map((length) => randomBytes(length))
  const manifest = imageManifest(config, layers)
  const index = imageIndex([manifest])
  const name = repository as Repository
  for (const blob of [config, ...layers]) backend.addBlob(name, blob)
  backend.addManifest(name, manifest)
  backend.addManifest(name, index, tag as Tag)
  return { config, layers, manifest, index }
}
