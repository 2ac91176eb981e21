import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import type { Descriptor } from '@layermesh/oci'
import { type Pack, pack } from 'tar-stream'
import type { OciLayout } from './oci-layout.ts'

export interface LayerFile {
  readonly path: string
  /** File mode; a symbolic link has none. */
  readonly mode?: number
  readonly size: number
  readonly content: Iterable<Uint8Array>
}

export interface Layer {
  readonly descriptor: Descriptor
  /** Digest of the uncompressed tar (image-spec §Layer DiffID). */
  readonly diffId: string
}

/** A file with this content. */
export function textFile(path: string, text: string): LayerFile {
  return bytesFile(path, Buffer.from(text), 0o644)
}

export function bytesFile(path: string, bytes: Uint8Array, mode: number): LayerFile {
  return { path, mode, size: bytes.length, content: [bytes] }
}

/** Packs files into a gzip-compressed layer of the layout; the same files give the same bytes. */
export async function addLayer(layout: OciLayout, mediaType: string, files: readonly LayerFile[]): Promise<Layer> {
  const tar = pack()
  const hash = createHash('sha256')
  async function* hashed() {
    for await (const chunk of tar as AsyncIterable<Uint8Array>) {
      hash.update(chunk)
      yield chunk
    }
  }
  const gzip = createGzip({ level: 1 })
  const [descriptor] = await Promise.all([
    layout.addBlob(mediaType, gzip),
    pipeline(hashed, gzip),
    writeEntries(tar, files)
  ])
  return { descriptor, diffId: `sha256:${hash.digest('hex')}` }
}

async function writeEntries(tar: Pack, files: readonly LayerFile[]): Promise<void> {
  for (const { path, mode = 0o644, size, content } of files) {
    const entry = tar.entry({ name: path, mode, size, mtime: new Date(0) })
    await pipeline(Readable.from(content), entry)
  }
  tar.finalize()
}
