import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PassThrough, Readable, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'
import { CliFailure } from '../failure.ts'

/** Where the files of an archive go. Until {@link finish} nothing stands under the name of the archive. */
export interface ArchiveSink {
  add(name: string, size: number, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void>
  /** All that was added is durable, and stands in its place. */
  finish(): Promise<void>
  /** Removes what was written. */
  abort(): Promise<void>
}

/** The same for every file and machine, so that the same images make the same bytes. */
const HEADER = Object.freeze({ mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), type: 'file' as const })

/** A tar, to a file or to what reads standard output. */
export class TarSink implements ArchiveSink {
  readonly #tar: Pack = pack()
  readonly #flow: Promise<void>
  readonly #place: { readonly path: string; readonly partial: string } | undefined

  private constructor(out: Writable, place?: { path: string; partial: string }) {
    this.#place = place
    // The archive is a stream of another library; a stream of Node's own after it keeps the pipeline's promises.
    this.#flow = pipeline(this.#tar, new PassThrough(), out)
    this.#flow.catch(() => {})
  }

  /** @throws {CliFailure} when the file can't be made */
  static async toFile(path: string): Promise<TarSink> {
    const partial = partialOf(path)
    const file = await open(partial, 'wx').catch((error: NodeJS.ErrnoException) => {
      throw new CliFailure('FAILED', `${path} can not be written (${error.code})`, { cause: error })
    })
    return new TarSink(file.createWriteStream({ flush: true }), { path, partial })
  }

  static toStandardOutput(): TarSink {
    return new TarSink(createWriteStream('', { fd: 1, autoClose: false }))
  }

  async add(name: string, size: number, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const entry = this.#tar.entry({ ...HEADER, name, size }) as unknown as Writable
    const written = pipeline(Readable.from(bytes instanceof Uint8Array ? [bytes] : bytes, { objectMode: false }), entry)
    await Promise.race([written, this.#flow.then(() => written)])
  }

  async finish(): Promise<void> {
    this.#tar.finalize()
    await this.#flow
    if (this.#place === undefined) return
    await rename(this.#place.partial, this.#place.path)
    await syncDirectory(dirname(this.#place.path))
  }

  async abort(): Promise<void> {
    this.#tar.destroy()
    await this.#flow.catch(() => {})
    if (this.#place !== undefined) await rm(this.#place.partial, { force: true })
  }
}

/** A directory that is not there yet, or is empty. */
export class DirectorySink implements ArchiveSink {
  readonly #path: string
  readonly #partial: string

  private constructor(path: string, partial: string) {
    this.#path = path
    this.#partial = partial
  }

  /** @throws {CliFailure} when something is there, or it can't be made */
  static async create(path: string): Promise<DirectorySink> {
    const held = await readdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw new CliFailure('FAILED', `${path} can not be written (${error.code})`, { cause: error })
    })
    if (held.length > 0) throw new CliFailure('FAILED', `${path} is not empty; name a directory that is not there yet`)
    const partial = partialOf(path.replace(/\/+$/, ''))
    await mkdir(partial, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      throw new CliFailure('FAILED', `${path} can not be written (${error.code})`, { cause: error })
    })
    return new DirectorySink(path, partial)
  }

  async add(name: string, _size: number, bytes: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const path = join(this.#partial, name)
    await mkdir(dirname(path), { recursive: true })
    const file = await open(path, 'wx')
    await pipeline(bytes instanceof Uint8Array ? [bytes] : bytes, file.createWriteStream({ flush: true }))
  }

  async finish(): Promise<void> {
    await rename(this.#partial, this.#path)
    await syncDirectory(dirname(this.#path))
  }

  async abort(): Promise<void> {
    await rm(this.#partial, { recursive: true, force: true })
  }
}

function partialOf(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.partial`
}

async function syncDirectory(path: string): Promise<void> {
  await using directory: FileHandle = await open(path, 'r')
  await directory.sync()
}
