import { chmod, lstat, mkdir, open, readdir, readFile, readlink, rename, rm, rmdir, stat } from 'node:fs/promises'
import { CliFailure } from '../failure.ts'

/** Who may do what with a file. */
export interface Access {
  /** Permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** All that `setup` does to a disk. What it promises to outlast a crash follows from the order of these calls alone. */
export interface Disk {
  /** @returns undefined when there is no file @throws CliFailure when it is none, or too large */
  read(path: string): Promise<{ readonly bytes: Buffer; readonly access: Access } | undefined>
  /** Its names, sorted; none when there is no such directory. */
  list(path: string): Promise<readonly string[]>
  /** What a symbolic link says; undefined when it is none, or nothing is there. */
  readLink(path: string): Promise<string | undefined>
  isDirectory(path: string): Promise<boolean>
  /** Writes a file that must not be there yet, and has it reach the disk. */
  create(path: string, bytes: Uint8Array, access: Partial<Access>): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Removes a file, if it is there. */
  remove(path: string): Promise<void>
  makeDirectory(path: string, mode: number): Promise<void>
  /** Removes a directory, if it is there, empty and nobody's mount. @returns whether it is gone */
  removeDirectory(path: string): Promise<boolean>
  /** Has what happened to the names in a directory reach the disk. */
  sync(directory: string): Promise<void>
}

const MAX_FILE_BYTES = 4 * 1024 * 1024
const PERMISSIONS = 0o7777

/** The disk of this machine. */
export const DISK: Disk = Object.freeze({
  async read(path: string) {
    const found = await orMissing(stat(path))
    if (found === undefined) return undefined
    if (!found.isFile()) throw new CliFailure('FAILED', `${path} is no file`)
    if (found.size > MAX_FILE_BYTES)
      throw new CliFailure('FAILED', `${path} has ${found.size} bytes, which no settings have`)
    const { uid, gid } = found
    return { bytes: await readFile(path), access: { mode: found.mode & PERMISSIONS, uid, gid } }
  },
  async list(path: string) {
    return ((await orMissing(readdir(path), 'ENOTDIR')) ?? []).toSorted()
  },
  readLink(path: string) {
    return orMissing(readlink(path), 'EINVAL')
  },
  async isDirectory(path: string) {
    return (await orMissing(lstat(path), 'ENOTDIR'))?.isDirectory() === true
  },
  async create(path: string, bytes: Uint8Array, { mode = 0o644, uid, gid }: Partial<Access>) {
    const file = await open(path, 'wx', 0o600)
    try {
      await file.writeFile(bytes)
      const { uid: ownUid, gid: ownGid } = await file.stat()
      const owner = [uid ?? ownUid, gid ?? ownGid] as const
      // Whoever may not give files away need not, as long as the file is their own.
      if (owner[0] !== ownUid || owner[1] !== ownGid) await file.chown(...owner)
      await file.chmod(mode)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  async remove(path: string) {
    await rm(path, { force: true })
  },
  async makeDirectory(path: string, mode: number) {
    await mkdir(path)
    // What is made is narrowed by the umask of whoever runs this.
    await chmod(path, mode)
  },
  async removeDirectory(path: string) {
    try {
      await rmdir(path)
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException
      if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR'].includes(code)) return false
      if (code !== 'ENOENT') throw error
    }
    return true
  },
  async sync(directory: string) {
    const handle = await open(directory, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
})

async function orMissing<Value>(result: Promise<Value>, ...codes: readonly string[]): Promise<Value | undefined> {
  try {
    return await result
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || codes.includes(code)) return undefined
    throw error
  }
}
