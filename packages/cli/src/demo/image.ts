import { join } from 'node:path'
import { type Descriptor, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { findInstallation } from './installation.ts'
import { type Layer, writeLayer } from './layer.ts'

/** An image that is ready to be pushed. */
export interface DemoImage {
  readonly manifest: Uint8Array
  readonly config: Uint8Array
  readonly layers: readonly Layer[]
  /** Length of all its parts, in bytes. */
  readonly size: number
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }

/** Makes an image of layermesh itself, out of the files that it runs from at this moment. */
export async function makeImage(entry: string, directory: string, signal: AbortSignal): Promise<DemoImage> {
  const { runtime, dependencies, program, entry: script } = await findInstallation(entry)
  const contents = { runtime, dependencies, program }
  const layers = await Promise.all(
    Object.entries(contents).map(([name, files]) => writeLayer(files, join(directory, `${name}.tar.gz`), signal))
  )
  const config = encode({
    created: new Date().toISOString(),
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: process.platform,
    config: { Entrypoint: ['/usr/local/bin/node', script], Cmd: ['node'] },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: Object.keys(contents).map((name) => ({ created_by: `layermesh demo: ${name}` }))
  })
  const manifest = encode({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: config.byteLength },
    layers: layers.map(({ mediaType, digest, size }): Descriptor => ({ mediaType, digest, size }))
  })
  const size = layers.reduce((sum, layer) => sum + layer.size, manifest.byteLength + config.byteLength)
  return { manifest, config, layers, size }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
