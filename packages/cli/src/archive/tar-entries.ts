import { posix } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract, type Header } from 'tar-stream'
import { CliFailure } from '../failure.ts'

/** A regular file or link of a tar. */
export type TarEntry =
  | { readonly kind: 'file'; readonly name: string; readonly size: number; readonly offset: number }
  /** `target` is a name in the tar. */
  | { readonly kind: 'link'; readonly name: string; readonly target: string }

export interface TarLimits {
  /** Files, directories and links. */
  readonly maxEntries: number
  /** Length of all that is packed, in bytes. */
  readonly maxBytes: number
  /** A compressed tar that is longer than this is refused when it grows by more than {@link maxRatio}. */
  readonly suspectBytes: number
  readonly maxRatio: number
}

/** More than images have: layers are compressed already, and rarely by a tenth when they are not. */
export const TAR_LIMITS: TarLimits = Object.freeze({
  maxEntries: 100_000,
  maxBytes: 2 ** 40,
  suspectBytes: 2 ** 30,
  maxRatio: 200
})

/** Takes a file of the tar; what it leaves is passed over. A link has no bytes. */
export type TakeEntry = (entry: TarEntry, bytes: AsyncIterable<Uint8Array>) => Promise<void>

/**
 * Reads a tar from its beginning to its end. Whatever has no place in an archive of images is refused: names that lead
 * out of it, also by a link, devices, and more than the limits say.
 *
 * @param source the bytes of the file
 * @throws {CliFailure}
 */
export async function readTar(
  source: Readable,
  { path, compressed, limits = TAR_LIMITS }: { path: string; compressed: boolean; limits?: TarLimits },
  take: TakeEntry
): Promise<void> {
  const refuse = (why: string): never => {
    throw new CliFailure('FAILED', `${path} is refused: it ${why}`)
  }
  const tar = extract()
  const counted = new PassThrough()
  let [packedBytes, tarBytes] = [0, 0]
  source.on('data', (chunk: Buffer) => {
    packedBytes += chunk.byteLength
  })
  counted.on('data', (chunk: Buffer) => {
    tarBytes += chunk.byteLength
    const grew = tarBytes > limits.suspectBytes && tarBytes > limits.maxRatio * packedBytes
    if (grew) counted.destroy(new CliFailure('FAILED', `${path} is refused: it grows to more than images do`))
    if (tarBytes > limits.maxBytes) counted.destroy(new CliFailure('FAILED', `${path} is refused: it is too long`))
  })
  const flow = compressed
    ? pipeline(source, createGunzip(), counted, tar as unknown as NodeJS.WritableStream)
    : pipeline(source, counted, tar as unknown as NodeJS.WritableStream)
  flow.catch(() => {})
  let entries = 0
  try {
    for await (const stream of tar) {
      if (++entries > limits.maxEntries) refuse(`has more than ${limits.maxEntries} entries`)
      const entry = readEntry(stream.header, refuse)
      if (entry !== undefined) await take(entry, stream as AsyncIterable<Uint8Array>)
      stream.resume()
    }
    await flow
  } catch (error) {
    source.destroy()
    tar.destroy()
    await flow.catch((cause: unknown) => {
      if (cause instanceof CliFailure) throw cause
    })
    throw toFailure(error, path)
  }
}

function readEntry(header: Header, refuse: (why: string) => never): TarEntry | undefined {
  const name = safeName(header.name) ?? refuse(`holds the name ${JSON.stringify(header.name.slice(0, 200))}`)
  const { size = 0, byteOffset = 0, type, linkname } = header as Header & { byteOffset?: number }
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return { kind: 'file', name, size, offset: byteOffset }
    case 'directory':
      return undefined
    case 'symlink':
    case 'link': {
      // A hard link names its target from the top of the tar, a symbolic one from where it stands.
      const from = type === 'link' ? '' : posix.dirname(name)
      const target = safeName(posix.join(from, linkname ?? ''))
      if (target === undefined || linkname?.startsWith('/')) return refuse(`holds a link out of it, ${name}`)
      return { kind: 'link', name, target }
    }
    default:
      return refuse(`holds ${name}, which is neither file nor directory`)
  }
}

/** A name within the tar, spelt in one way; undefined when it leads out of it. */
export function safeName(name: string): string | undefined {
  if (name.startsWith('/') || name.includes('\\') || name.includes('\0')) return undefined
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  return parts.includes('..') ? undefined : parts.join('/')
}

function toFailure(error: unknown, path: string): CliFailure {
  if (error instanceof CliFailure) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new CliFailure('FAILED', `${path} can not be read as an archive: ${reason}`, { cause: error })
}
