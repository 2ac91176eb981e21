import fileSystem from 'node:fs/promises'
import type { FileHandle, FileSystem } from '../disk/file-system.ts'

const BLOCK_BYTES = 512

/** A file system whose disk a test can fill. */
export interface FaultyFileSystem extends FileSystem {
  /** Bytes that may still be written; then ENOSPC, after a part of the write when some of it fits. */
  roomBytes: number
  /** What `statfs` tells; less with every write that takes more of the disk. */
  freeBytes: number
  /** How large the disk is. */
  totalBytes: number
  /** Fails the next `datasync` of a file. */
  failSync: boolean
  /** How often `statfs` was called. */
  readonly checks: number
}

export function createFaultyFileSystem(): FaultyFileSystem {
  let checks = 0
  const system: FaultyFileSystem = {
    roomBytes: Number.POSITIVE_INFINITY,
    freeBytes: Number.MAX_SAFE_INTEGER,
    totalBytes: Number.MAX_SAFE_INTEGER,
    failSync: false,
    get checks() {
      return checks
    },
    rename: fileSystem.rename,
    unlink: async (path) => {
      const { blocks } = await fileSystem.stat(path)
      await fileSystem.unlink(path)
      system.freeBytes += blocks * BLOCK_BYTES
    },
    mkdir: fileSystem.mkdir,
    readdir: (path, options) => fileSystem.readdir(path, options),
    statfs: async () => {
      checks++
      return { blocks: system.totalBytes, bavail: system.freeBytes, bsize: 1 }
    },
    open: async (path, flags) => {
      const handle = await fileSystem.open(path, flags)
      return wrap(system, handle, (await handle.stat()).blocks)
    }
  }
  return system
}

function wrap(system: FaultyFileSystem, handle: fileSystem.FileHandle, blocksAtOpening: number): FileHandle {
  let occupied = blocksAtOpening
  return {
    fd: handle.fd,
    write: async (bytes, offset, length, position) => {
      const fits = Math.min(length, system.roomBytes)
      if (fits === 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      const { bytesWritten } = await handle.write(bytes, offset, fits, position)
      system.roomBytes -= bytesWritten
      const { blocks } = await handle.stat()
      system.freeBytes -= (blocks - occupied) * BLOCK_BYTES
      occupied = blocks
      return { bytesWritten }
    },
    truncate: (length) => handle.truncate(length),
    datasync: async () => {
      if (!system.failSync) return handle.datasync()
      system.failSync = false
      throw Object.assign(new Error('input/output error'), { code: 'EIO' })
    },
    sync: () => handle.sync(),
    stat: () => handle.stat(),
    close: () => handle.close()
  }
}
