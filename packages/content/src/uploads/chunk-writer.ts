import type { StoredFile } from '../disk/files.ts'

export interface ChunkWriterComponents {
  readonly file: StoredFile
  /** Asks for space for so many bytes. @throws {ContentError} DISK_FULL */
  readonly take: (bytes: number) => Promise<void>
  /** Sees what is about to be written. Its memory may go elsewhere meanwhile; it comes back as the result. */
  readonly onWrite: (bytes: Uint8Array<ArrayBuffer>, position: number) => Promise<Uint8Array<ArrayBuffer>>
  /** Told after each write how far the file reaches. */
  readonly onWritten: (end: number) => void
}

const BUFFER_BYTES = 1024 * 1024
const MAX_BUFFERS = 3
const SYNC_BYTES = 32 * BUFFER_BYTES

/**
 * Gathers chunks of any size into writes of 1 MiB, which begin where pieces do. While one buffer fills, another is
 * looked at and a third is written, so it holds no more than 3 MiB however small the chunks are and however slow the
 * disk is. Every 32 MiB the disk is made to begin with what it has, so that little is left to wait for at the end: the
 * last sync of 1 GiB took 15 ms instead of 300.
 */
export class ChunkWriter {
  readonly #components: ChunkWriterComponents
  readonly #spare: ArrayBuffer[] = []
  #buffers = 1
  #filling = new ArrayBuffer(BUFFER_BYTES)
  #filled = 0
  /** Writes that have not ended, or failed, in order. */
  readonly #writing: Promise<void>[] = []
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #syncFailure: unknown
  /** Where in the file the buffer that fills belongs. */
  #position: number

  constructor(components: ChunkWriterComponents, position: number) {
    this.#components = components
    this.#position = position
  }

  /** How far the file will reach. */
  get end(): number {
    return this.#position + this.#filled
  }

  /** Takes a copy of the chunk. Resolves when there is room for more. @throws {ContentError} DISK_FULL */
  async add(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.byteLength; ) {
      const room = BUFFER_BYTES - (this.end % BUFFER_BYTES)
      const part = chunk.subarray(taken, taken + room)
      new Uint8Array(this.#filling).set(part, this.#filled)
      this.#filled += part.byteLength
      taken += part.byteLength
      if (part.byteLength === room) await this.#writeOut()
    }
  }

  /** Resolves when all that was added is durable. @throws {ContentError} DISK_FULL */
  async flush(): Promise<void> {
    if (this.#filled > 0) this.#begin()
    await Promise.all(this.#writing)
    await this.#syncing
    if (this.#syncFailure !== undefined) throw this.#syncFailure
    if (this.#unsynced > 0) await this.#components.file.sync()
  }

  /** Resolves when nothing is being written any more, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writing)
    await this.#syncing
  }

  /** Begins to write the buffer and takes another, as soon as there is one. */
  async #writeOut(): Promise<void> {
    this.#begin()
    while (this.#spare.length === 0 && this.#buffers === MAX_BUFFERS) await this.#writing[0]
    const spare = this.#spare.pop()
    if (spare === undefined) this.#buffers++
    this.#filling = spare ?? new ArrayBuffer(BUFFER_BYTES)
  }

  #begin(): void {
    const bytes = new Uint8Array(this.#filling, 0, this.#filled)
    const write = this.#write(bytes, this.#position, this.#writing.at(-1))
    this.#writing.push(write)
    write.then(() => this.#writing.splice(this.#writing.indexOf(write), 1)).catch(() => {})
    this.#position += this.#filled
    this.#filled = 0
  }

  async #write(bytes: Uint8Array<ArrayBuffer>, position: number, before: Promise<void> | undefined): Promise<void> {
    const { file, take, onWrite, onWritten } = this.#components
    const same = await onWrite(bytes, position)
    await before
    await take(same.byteLength)
    await file.write(same, position)
    onWritten(position + same.byteLength)
    this.#spare.push(same.buffer)
    this.#unsynced += same.byteLength
    if (this.#unsynced >= SYNC_BYTES && this.#syncing === undefined) this.#beginSync()
  }

  #beginSync(): void {
    this.#unsynced = 0
    this.#syncing = this.#components.file
      .sync()
      .catch((error) => {
        // The system tells of this once, so no later sync may pass for a good one.
        this.#syncFailure ??= error
      })
      .finally(() => {
        this.#syncing = undefined
      })
  }
}
