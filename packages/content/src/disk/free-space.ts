import { ContentError } from '../errors.ts'

/** What is asked for the free space and the time. */
export interface FreeSpaceComponents {
  readonly freeBytes: () => Promise<number>
  readonly now: () => number
}

const CHECK_INTERVAL_MS = 1000

/**
 * Keeps writes from filling the disk to the last byte, where LevelDB could no longer note anything. It asks the file
 * system once a second, and in between counts what was taken. As writes may also go where the disk has room for them
 * already, it never refuses by that count, but asks again first.
 */
export class FreeSpace {
  readonly #components: FreeSpaceComponents
  readonly #minFreeBytes: number
  #free = 0
  #checkedAt = Number.NEGATIVE_INFINITY
  #checking: Promise<void> | undefined

  constructor(components: FreeSpaceComponents, minFreeBytes: number) {
    this.#components = components
    this.#minFreeBytes = minFreeBytes
  }

  /** Counts `bytes` that are about to be written. @throws {ContentError} DISK_FULL */
  async take(bytes: number): Promise<void> {
    await this.check(bytes)
    this.#free -= bytes
  }

  /** Checks that `bytes` would fit. @throws {ContentError} DISK_FULL */
  async check(bytes: number): Promise<void> {
    if (this.#components.now() - this.#checkedAt < CHECK_INTERVAL_MS && this.#fits(bytes)) return
    this.#checking ??= this.#refresh().finally(() => {
      this.#checking = undefined
    })
    await this.#checking
    if (this.#fits(bytes)) return
    throw new ContentError('DISK_FULL', `less than ${this.#minFreeBytes} bytes would stay free on the disk`)
  }

  /** A write found the disk full, whatever was counted: the next check asks the file system. */
  distrust(): void {
    this.#checkedAt = Number.NEGATIVE_INFINITY
  }

  #fits(bytes: number): boolean {
    return this.#free - bytes >= this.#minFreeBytes
  }

  async #refresh(): Promise<void> {
    this.#free = await this.#components.freeBytes()
    this.#checkedAt = this.#components.now()
  }
}
