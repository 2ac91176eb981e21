import { constants } from 'node:fs'
import { dirname } from 'node:path'
import { ContentError, errorCode, mapDiskFull } from '../errors.ts'
import type { FileHandle, FileSystem } from './file-system.ts'
import type { DiskSpace } from './free-space.ts'

// Images may be private: other users of the machine have no business here.
const OWNER_ONLY = 0o700
/** What `stat` counts in, whatever the file system has (stat(3type)). */
const BLOCK_BYTES = 512

/**
 * The files of a store: what `fs` does, with durability spelled out, errors of a full disk made DISK_FULL, and a list
 * of what is open so that closing the store lets go of all of it.
 */
export class Files {
  readonly #fileSystem: FileSystem
  readonly #open = new Set<StoredFile>()
  readonly #knownDirectories = new Set<string>()
  #closed = false

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem
  }

  /** A new file for reading and writing; one that is there already is an error. */
  create(path: string): Promise<StoredFile> {
    return this.#openFile(path, 'wx+')
  }

  /** An existing file for reading. */
  openForReading(path: string): Promise<StoredFile> {
    return this.#openFile(path, 'r')
  }

  /** A file for reading and writing, made when it isn't there. */
  openForWriting(path: string): Promise<StoredFile> {
    return this.#openFile(path, constants.O_RDWR | constants.O_CREAT)
  }

  async #openFile(path: string, flags: string | number): Promise<StoredFile> {
    if (this.#closed) throw new ContentError('STORE_CLOSED', 'the store is closed')
    const handle = await guard(() => this.#fileSystem.open(path, flags))
    const file = new StoredFile(handle, () => this.#open.delete(file))
    this.#open.add(file)
    if (!this.#closed) return file
    await file.close()
    throw new ContentError('STORE_CLOSED', 'the store is closed')
  }

  /** Makes the directory and those above it that are missing. */
  async makeRoot(path: string): Promise<void> {
    await guard(() => this.#fileSystem.mkdir(path, { mode: OWNER_ONLY, recursive: true }))
  }

  /** Makes the directory durable unless it is there. Its parent must be there. */
  async makeDirectory(path: string): Promise<void> {
    if (this.#knownDirectories.has(path)) return
    try {
      await guard(() => this.#fileSystem.mkdir(path, { mode: OWNER_ONLY }))
      await this.syncDirectory(dirname(path))
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
    }
    this.#knownDirectories.add(path)
  }

  /** Renames a file; durable when it resolves. The directory of `to` must be there. */
  async move(from: string, to: string): Promise<void> {
    await guard(() => this.#fileSystem.rename(from, to))
    await this.syncDirectory(dirname(to))
  }

  /** Removes a file; durable when it resolves. Resolves false when there was none. */
  async remove(path: string): Promise<boolean> {
    try {
      await guard(() => this.#fileSystem.unlink(path))
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false
      throw error
    }
    await this.syncDirectory(dirname(path))
    return true
  }

  /** The names in a directory; none when it isn't there. */
  async list(path: string): Promise<string[]> {
    return (await this.#entries(path)).map(({ name }) => name)
  }

  /** The names of the files in a directory: no link, and nothing else that somebody else put there. */
  async listFiles(path: string): Promise<string[]> {
    return (await this.#entries(path)).filter((entry) => entry.isFile()).map(({ name }) => name)
  }

  async #entries(path: string): Promise<Awaited<ReturnType<FileSystem['readdir']>>> {
    try {
      return await this.#fileSystem.readdir(path, { withFileTypes: true })
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return []
      throw error
    }
  }

  /** The disk that holds `path`. */
  async diskSpace(path: string): Promise<DiskSpace> {
    const { blocks, bavail, bsize } = await this.#fileSystem.statfs(path)
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
  }

  /** Bytes of the disk that a file takes up: fewer than its size where it has holes, and none when it isn't there. */
  async occupiedBytes(path: string): Promise<number> {
    let handle: FileHandle
    try {
      handle = await this.#fileSystem.open(path, 'r')
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return 0
      throw error
    }
    try {
      const { blocks } = await handle.stat()
      return blocks * BLOCK_BYTES
    } finally {
      await handle.close()
    }
  }

  /** Closes every file that is open, after what is being done with it. Files can't be opened any more. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#open].map((file) => file.close()))
  }

  /** Resolves once the names in a directory are durable. */
  async syncDirectory(path: string): Promise<void> {
    const handle = await guard(() => this.#fileSystem.open(path, 'r'))
    try {
      await guard(() => handle.sync())
    } finally {
      await handle.close()
    }
  }
}

/**
 * An open file with several owners: it closes when the last one lets go of it, or at once, but never in the middle of
 * an operation, because the hashing threads use the bare descriptor.
 */
export class StoredFile {
  readonly #handle: FileHandle
  readonly #onClose: () => void
  readonly #closed = Promise.withResolvers<void>()
  #owners = 1
  #operations = 0
  #closing = false

  constructor(handle: FileHandle, onClose: () => void) {
    this.#handle = handle
    this.#onClose = onClose
  }

  /** Adds an owner. False when the file is closed. */
  retain(): boolean {
    if (this.#closing) return false
    this.#owners++
    return true
  }

  /** Takes an owner away. */
  release(): void {
    if (--this.#owners === 0) this.close().catch(() => {})
  }

  /** Does something with the descriptor, which stays open until that is done. @throws {ContentError} STORE_CLOSED */
  async use<Result>(work: (fd: number) => Promise<Result>): Promise<Result> {
    if (this.#closing) throw new ContentError('STORE_CLOSED', 'the file was closed')
    this.#operations++
    try {
      return await guard(() => work(this.#handle.fd))
    } finally {
      this.#operations--
      if (this.#closing) this.#closeIfIdle()
    }
  }

  /** Writes all of `bytes`. @throws {ContentError} DISK_FULL */
  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.use(async () => {
      for (let written = 0; written < bytes.byteLength; ) {
        const length = bytes.byteLength - written
        const { bytesWritten } = await this.#handle.write(bytes, written, length, position + written)
        written += bytesWritten
      }
    })
  }

  /** Resolves once all that was written before is durable. */
  sync(): Promise<void> {
    return this.use(() => this.#handle.datasync())
  }

  truncate(length: number): Promise<void> {
    return this.use(() => this.#handle.truncate(length))
  }

  async size(): Promise<number> {
    const { size } = await this.use(() => this.#handle.stat())
    return size
  }

  /** Closes the file whoever owns it; resolves after what is being done with it. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true
      this.#closeIfIdle()
    }
    return this.#closed.promise
  }

  #closeIfIdle(): void {
    if (this.#operations > 0) return
    this.#onClose()
    this.#closed.resolve(this.#handle.close())
  }
}

async function guard<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    throw mapDiskFull(error)
  }
}
