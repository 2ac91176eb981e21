import fileSystem from 'node:fs/promises'
import type { FileHandle, FileSystem } from '../disk/file-system.ts'

/** What a write replaced, so that it can be taken back. */
interface Undo {
  readonly position: number
  readonly replaced: Uint8Array
  readonly size: number
}

interface Journal {
  path: string
  undos: Undo[]
}

/** A file system whose disk forgets what was not synced when the power goes, as a disk may. Names are durable at once. */
export interface VolatileFileSystem extends FileSystem {
  /** Takes back all that was written to files and not synced. */
  cutPower(): Promise<void>
}

export function createVolatileFileSystem(): VolatileFileSystem {
  const journals = new Set<Journal>()
  const journalOf = (path: string) => {
    const journal = [...journals].find((known) => known.path === path) ?? { path, undos: [] }
    journals.add(journal)
    return journal
  }
  return {
    unlink: async (path) => {
      await fileSystem.unlink(path)
      journals.delete(journalOf(path))
    },
    rename: async (from, to) => {
      await fileSystem.rename(from, to)
      journals.delete(journalOf(to))
      journalOf(from).path = to
    },
    mkdir: fileSystem.mkdir,
    readdir: (path, options) => fileSystem.readdir(path, options),
    statfs: fileSystem.statfs,
    open: async (path, flags) => wrap(await fileSystem.open(path, flags), journalOf(path)),
    cutPower: async () => {
      for (const { path, undos } of journals) await takeBack(path, undos)
    }
  }
}

function wrap(handle: fileSystem.FileHandle, journal: Journal): FileHandle {
  const remember = async (position: number, length: number) => {
    const { size } = await handle.stat()
    const { buffer, bytesRead } = await handle.read(new Uint8Array(length), 0, length, position)
    journal.undos.push({ position, replaced: buffer.subarray(0, bytesRead), size })
  }
  return {
    fd: handle.fd,
    write: async (bytes, offset, length, position) => {
      await remember(position, length)
      return handle.write(bytes, offset, length, position)
    },
    truncate: async (length) => {
      const { size } = await handle.stat()
      await remember(Math.min(length, size), Math.max(0, size - length))
      await handle.truncate(length)
    },
    datasync: async () => {
      const synced = journal.undos.length
      await handle.datasync()
      journal.undos.splice(0, synced)
    },
    sync: () => handle.sync(),
    stat: () => handle.stat(),
    close: () => handle.close()
  }
}

async function takeBack(path: string, undos: readonly Undo[]): Promise<void> {
  if (undos.length === 0) return
  const handle = await fileSystem.open(path, 'r+')
  try {
    for (const { position, replaced, size } of undos.toReversed()) {
      await handle.write(replaced, 0, replaced.byteLength, position)
      await handle.truncate(size)
    }
  } finally {
    await handle.close()
  }
}
