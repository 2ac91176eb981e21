import { constants, type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CliFailure } from '../failure.ts'
import type { FileSummary, ImageFiles, TakeFile } from './image-files.ts'

/** The files of a directory. */
export class DirectoryFiles implements ImageFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  async stat(name: string): Promise<FileSummary | undefined> {
    await using file = await this.#open(name)
    return file && { size: (await file.stat()).size }
  }

  async read(name: string, maxBytes: number): Promise<Uint8Array | undefined> {
    await using file = await this.#open(name)
    if (file === undefined) return undefined
    if ((await file.stat()).size > maxBytes) throw new CliFailure('FAILED', `${this.#pathOf(name)} is too large`)
    return await readFile(file)
  }

  async stream(names: ReadonlySet<string>, take: TakeFile): Promise<void> {
    for (const name of names) {
      await using file = await this.#open(name)
      if (file === undefined) throw new CliFailure('FAILED', `${this.#pathOf(name)} is not there any more`)
      const { size } = await file.stat()
      await take(name, size, file.createReadStream({ autoClose: false }))
    }
  }

  async close(): Promise<void> {}

  /** What is no regular file could block, or never end. */
  async #open(name: string): Promise<FileHandle | undefined> {
    const path = this.#pathOf(name)
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
      throw new CliFailure('FAILED', `${path} can not be read (${error.code})`, { cause: error })
    })
    if (file === undefined || (await file.stat()).isFile()) return file
    await file.close()
    throw new CliFailure('FAILED', `${path} is no file`)
  }

  #pathOf(name: string): string {
    return join(this.#directory, name)
  }
}
