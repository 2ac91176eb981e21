import { constants } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestHex, isDigest } from '@layermesh/oci'
import { StoredFile } from '../disk/files.ts'
import { errorCode } from '../errors.ts'

/** A file that is open, and which one it is: another file, or another content, has another identity. */
export interface SharedFile {
  readonly file: StoredFile
  readonly size: number
  readonly identity: string
}

/** Neither a link nor a pipe nor a device is opened, whatever stands there. */
const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
/** What means that a file, or the directory, is not there for this node. */
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'ELOOP', 'ENXIO'])

/**
 * The blobs of containerd's content store, which are only ever read. They lie by their digest (containerd,
 * plugins/content/local: `blobs/sha256/HEX`), are put there by a rename once they are whole, and never change; containerd
 * removes them when nothing needs them any more.
 */
export class SharedFiles {
  readonly #directory: string
  readonly #open = new Set<StoredFile>()

  /** @param directory such as `/var/lib/containerd/io.containerd.content.v1.content` */
  constructor(directory: string) {
    this.#directory = join(directory, 'blobs', 'sha256')
  }

  /** Up to `max` blobs that are there. @throws system errors when the directory can't be read */
  async list(max: number): Promise<Digest[]> {
    const names = await readdir(this.#directory)
    const digests = names.map((name) => `sha256:${name}`).filter((text) => isDigest(text))
    return digests.slice(0, max)
  }

  /** Undefined when it is not there. */
  async open(digest: Digest): Promise<SharedFile | undefined> {
    if (!digest.startsWith('sha256:')) return undefined
    let handle: FileHandle
    try {
      handle = await open(join(this.#directory, digestHex(digest)), READ_ONLY)
    } catch (error) {
      if (NOT_THERE.has(errorCode(error) ?? '')) return undefined
      throw error
    }
    const file: StoredFile = new StoredFile(handle, () => this.#open.delete(file))
    this.#open.add(file)
    const { dev, ino, size, mtimeNs, mode } = await handle.stat({ bigint: true })
    if ((Number(mode) & constants.S_IFMT) !== constants.S_IFREG) {
      await file.close()
      return undefined
    }
    return { file, size: Number(size), identity: [dev, ino, size, mtimeNs].join(' ') }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open].map((file) => file.close()))
  }
}
