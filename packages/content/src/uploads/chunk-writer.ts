import type { StoredFile } from '../disk/files.ts'
import type { FreeSpace } from '../disk/free-space.ts'

export interface ChunkWriterComponents {
  readonly file: StoredFile
  readonly space: FreeSpace
  /** Told after each write how far the file reaches. */
  readonly onWritten: (end: number) => void
}

const BUFFER_BYTES = 1024 * 1024
const SYNC_BYTES = 32 * BUFFER_BYTES

/**
 * Gathers chunks of any size into writes of 1 MiB. One buffer fills while another is being written, so it holds no
 * more than 2 MiB however small the chunks are and however slow the disk is. Every 32 MiB the disk is made to begin
 * with what it has, so that little is left to wait for at the end: the last sync of 1 GiB took 15 ms instead of 300.
 */
export class ChunkWriter {
  readonly #components: ChunkWriterComponents
  #filling: Buffer
  #spare: Buffer | undefined
  #filled = 0
  #writing: Promise<void> = Promise.resolve()
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #syncFailure: unknown
  /** Where in the file the buffer that fills belongs. */
  #position: number

  constructor(components: ChunkWriterComponents, position: number) {
    this.#components = components
    this.#position = position
    this.#filling = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  }

  /** How far the file will reach. */
  get end(): number {
    return this.#position + this.#filled
  }

  /** Takes a copy of the chunk. Resolves when there is room for more. @throws {ContentError} DISK_FULL */
  async add(chunk: Uint8Array): Promise<void> {
    for (let taken = 0; taken < chunk.byteLength; ) {
      const part = chunk.subarray(taken, taken + BUFFER_BYTES - this.#filled)
      this.#filling.set(part, this.#filled)
      this.#filled += part.byteLength
      taken += part.byteLength
      if (this.#filled === BUFFER_BYTES) await this.#writeOut()
    }
  }

  /** Resolves when all that was added is durable. @throws {ContentError} DISK_FULL */
  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#writeOut()
    await this.#writing
    await this.#syncing
    if (this.#syncFailure !== undefined) throw this.#syncFailure
    if (this.#unsynced > 0) await this.#components.file.sync()
  }

  /** Resolves when nothing is being written any more, whatever becomes of it. */
  async settle(): Promise<void> {
    await this.#writing.catch(() => {})
    await this.#syncing
  }

  /** Begins to write the full buffer, after the one before it was written. */
  async #writeOut(): Promise<void> {
    await this.#writing
    const buffer = this.#filling
    const bytes = buffer.subarray(0, this.#filled)
    const position = this.#position
    this.#filling = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#spare = buffer
    this.#position += this.#filled
    this.#filled = 0
    this.#writing = this.#write(bytes, position)
    this.#writing.catch(() => {})
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    const { file, space, onWritten } = this.#components
    await space.take(bytes.byteLength)
    await file.write(bytes, position)
    onWritten(position + bytes.byteLength)
    this.#unsynced += bytes.byteLength
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
