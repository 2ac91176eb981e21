import { createHash, type Hash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { PassThrough, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Descriptor, type Digest, digestOfHash, MEDIA_TYPE } from '@layermesh/oci'
import { type Pack, pack } from 'tar-stream'
import type { ImageFile } from './installation.ts'

/** A layer that lies in a file. */
export interface Layer extends Descriptor {
  /** The file. */
  readonly path: string
  /** Digest of the layer before it was compressed (image-spec §Layer DiffID). */
  readonly diffId: Digest
}

/** Quick rather than small: the demo is about moving bytes. */
const COMPRESSION_LEVEL = 1
const EPOCH = new Date(0)
const EXECUTABLE = 0o111

/** Writes files as a compressed layer to `path`. */
export async function writeLayer(files: readonly ImageFile[], path: string, signal: AbortSignal): Promise<Layer> {
  const archive = pack()
  const plain = createHash('sha256')
  const compressed = createHash('sha256')
  const gzip = createGzip({ level: COMPRESSION_LEVEL })
  const fill = fillArchive(archive, files, signal)
  // The archive is a stream of another library; a stream of Node's own after it keeps the pipeline's promises.
  const streams = [
    archive,
    new PassThrough(),
    hashing(plain),
    gzip,
    hashing(compressed),
    createWriteStream(path)
  ] as const
  await Promise.all([pipeline(...streams, { signal }), fill])
  return {
    path,
    mediaType: MEDIA_TYPE.ociLayerGzip,
    digest: digestOfHash('sha256', compressed.digest()),
    size: (await stat(path)).size,
    diffId: digestOfHash('sha256', plain.digest())
  }
}

async function fillArchive(archive: Pack, files: readonly ImageFile[], signal: AbortSignal): Promise<void> {
  try {
    for (const file of files) {
      signal.throwIfAborted()
      await addFile(archive, file)
    }
    archive.finalize()
  } catch (error) {
    archive.destroy()
    throw error
  }
}

async function addFile(archive: Pack, { path, source, linkTo }: ImageFile): Promise<void> {
  if (source === undefined) {
    archive.entry({ name: path, type: 'symlink', linkname: linkTo ?? '', mtime: EPOCH })
    return
  }
  const { size, mode } = await stat(source)
  const header = { name: path, size, mode: (mode & EXECUTABLE) === 0 ? 0o644 : 0o755, mtime: EPOCH }
  await pipeline(createReadStream(source), archive.entry(header))
}

/** Passes bytes on and hashes them. */
function hashing(hash: Hash): Transform {
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    }
  })
}
