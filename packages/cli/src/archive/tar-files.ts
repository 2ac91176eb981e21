import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { type Digest, type DigestAlgorithm, digestOfHash, MAX_MANIFEST_BYTES, parseDigest } from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { FileSummary, ImageFiles, TakeFile } from './image-files.ts'
import { readTar, TAR_LIMITS, type TarEntry, type TarLimits } from './tar-entries.ts'

const GZIP = Buffer.from('1f8b', 'hex')
const ZSTD = Buffer.from('28b52ffd', 'hex')
const HEAD_BYTES = 8
const CHUNK_BYTES = 1024 * 1024
/** What is kept of small files that may be JSON, so that a compressed tar is not read through for each. */
const MAX_KEPT_BYTES = 64 * 1024 * 1024
const MAX_LINKS = 8
const BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]+)$/
const JSON_START = /^[ \t\r\n]*[{[]/

interface KnownFile extends FileSummary {
  readonly digest: Digest
  readonly head: Uint8Array
  readonly offset: number
  readonly kept: Uint8Array | undefined
}

/**
 * The files of a tar, which may be gzip-compressed. It is read through once when it is opened: then it is known what
 * there is, and that all of it is what its names say. Later a plain tar is read in place, and a compressed one from its
 * beginning again.
 */
export class TarFiles implements ImageFiles {
  readonly #path: string
  readonly #file: FileHandle
  readonly #isCompressed: boolean
  readonly #limits: TarLimits
  readonly #files = new Map<string, KnownFile>()
  readonly #links = new Map<string, string>()
  #keptBytes = 0

  private constructor(path: string, file: FileHandle, isCompressed: boolean, limits: TarLimits) {
    this.#path = path
    this.#file = file
    this.#isCompressed = isCompressed
    this.#limits = limits
  }

  /** @throws {CliFailure} for what is no tar, or holds what no archive of images does */
  static async open(path: string, limits: TarLimits = TAR_LIMITS): Promise<TarFiles> {
    const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
      throw new CliFailure('FAILED', `${path} can not be read (${error.code})`, { cause: error })
    })
    try {
      const { buffer: head } = await file.read({ buffer: Buffer.alloc(HEAD_BYTES), position: 0 })
      if (startsWith(head, ZSTD)) {
        throw new CliFailure('FAILED', `${path} is compressed by zstd; unpack it first: zstd -d ${path}`)
      }
      const tar = new TarFiles(path, file, startsWith(head, GZIP), limits)
      await tar.#scan()
      return tar
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async stat(name: string): Promise<FileSummary | undefined> {
    return this.#find(name)
  }

  async read(name: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const file = this.#find(name)
    if (file === undefined) return undefined
    if (file.size > maxBytes) throw new CliFailure('FAILED', `${name} of ${this.#path} is too large`)
    if (file.kept !== undefined || file.size === 0) return file.kept ?? new Uint8Array()
    const chunks: Uint8Array[] = []
    await this.stream(new Set([name]), async (_name, _size, bytes) => {
      for await (const chunk of bytes) chunks.push(chunk)
    })
    return Buffer.concat(chunks)
  }

  async stream(names: ReadonlySet<string>, take: TakeFile): Promise<void> {
    const wanted = new Map<KnownFile, string[]>()
    for (const name of names) {
      const file = this.#find(name)
      if (file === undefined) throw new CliFailure('FAILED', `${this.#path} holds no ${name}`)
      wanted.set(file, [...(wanted.get(file) ?? []), name])
    }
    for (const [file, [name = '', ...aliases]] of wanted) {
      if (aliases.length > 0)
        throw new CliFailure('FAILED', `${name} and ${aliases[0]} are one file; ask for one of them`)
      if (!this.#isCompressed) await take(name, file.size, this.#bytesOf(file))
    }
    if (!this.#isCompressed) return
    await this.#readAll(async (entry, bytes) => {
      const file = entry.kind === 'file' ? this.#files.get(entry.name) : undefined
      const [name] = (file && wanted.get(file)) ?? []
      if (file !== undefined && name !== undefined) await take(name, file.size, bytes)
    })
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  #find(name: string): KnownFile | undefined {
    let at = name
    for (let links = 0; links <= MAX_LINKS; links++) {
      const target = this.#links.get(at)
      if (target === undefined) return this.#files.get(at)
      at = target
    }
    throw new CliFailure('FAILED', `${this.#path} is refused: its link ${name} leads to no end`)
  }

  async *#bytesOf({ offset, size }: KnownFile): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at))
      const { bytesRead } = await this.#file.read({ buffer, position: offset + at })
      if (bytesRead === 0) throw new CliFailure('FAILED', `${this.#path} became shorter while it was read`)
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  }

  async #scan(): Promise<void> {
    await this.#readAll(async (entry, bytes) => {
      if (this.#files.has(entry.name) || this.#links.has(entry.name)) {
        throw new CliFailure('FAILED', `${this.#path} is refused: it holds ${entry.name} twice`)
      }
      if (entry.kind === 'link') this.#links.set(entry.name, entry.target)
      else this.#files.set(entry.name, await this.#look(entry, bytes))
    })
  }

  async #look(
    { name, size, offset }: TarEntry & { kind: 'file' },
    bytes: AsyncIterable<Uint8Array>
  ): Promise<KnownFile> {
    const [, algorithm = 'sha256', hex] = BLOB.exec(name) ?? []
    const hash = createHash(algorithm)
    const mayBeKept = size <= MAX_MANIFEST_BYTES && this.#keptBytes + size <= MAX_KEPT_BYTES
    const chunks: Uint8Array[] = []
    let head = Buffer.alloc(0)
    for await (const chunk of bytes) {
      hash.update(chunk)
      if (head.byteLength < HEAD_BYTES)
        head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES)]).subarray(0, HEAD_BYTES)
      if (mayBeKept) chunks.push(chunk)
    }
    const digest = digestOfHash(algorithm as DigestAlgorithm, hash.digest())
    if (hex !== undefined && digest !== parseDigest(`${algorithm}:${hex}`)) {
      throw new CliFailure('FAILED', `${this.#path} is broken: ${name} has the digest ${digest}`)
    }
    const kept = mayBeKept && JSON_START.test(head.toString('latin1')) ? Buffer.concat(chunks) : undefined
    this.#keptBytes += kept?.byteLength ?? 0
    return { size, offset, digest, head, kept }
  }

  async #readAll(take: (entry: TarEntry, bytes: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
    const source = this.#file.createReadStream({ start: 0, autoClose: false, highWaterMark: CHUNK_BYTES })
    await readTar(source, { path: this.#path, compressed: this.#isCompressed, limits: this.#limits }, take)
  }
}

function startsWith(bytes: Buffer, magic: Buffer): boolean {
  return bytes.subarray(0, magic.byteLength).equals(magic)
}
