import { ContentError } from '../errors.ts'
import type { RemovalReason, StoreSpace } from '../interfaces.ts'

/** Bytes, or a share of the whole file system. */
export type SpaceLimit = { readonly bytes: number } | { readonly share: number }

/** How large the file system is, and what of it may still be written, in bytes. */
export interface DiskSpace {
  readonly totalBytes: number
  readonly freeBytes: number
}

/** What writers ask before they write. */
export interface Space {
  /** Counts `bytes` that are about to be written. @throws {ContentError} DISK_FULL */
  take(bytes: number): Promise<void>
  /** Checks that `bytes` would fit. @throws {ContentError} DISK_FULL */
  check(bytes: number): Promise<void>
  /** A write found the disk full, whatever was counted: the next check asks the file system. */
  distrust(): void
}

export interface FreeSpaceComponents {
  readonly disk: () => Promise<DiskSpace>
  /** What the store takes up, with what was promised to downloads that run, in bytes. */
  readonly usedBytes: () => number
  /**
   * Removes what can be spared until `enough` says so; calls `onFreed` after each. @returns how many bytes came free
   */
  readonly evict: (reason: RemovalReason, enough: () => boolean, onFreed: (bytes: number) => void) => Promise<number>
  readonly now: () => number
  /** Told once when something was refused for want of space, and once when there is space again. */
  readonly onFull: (space: StoreSpace) => void
  /** Told once when less than `keepFree` is free and nothing more can be spared, and once when that is over. */
  readonly onScarce: (isScarce: boolean, space: StoreSpace) => void
}

export interface FreeSpaceOptions {
  readonly minFree: SpaceLimit
  /** Below this, what can be spared is removed; writes may take it all the same. */
  readonly keepFree: SpaceLimit
  readonly maxSize: SpaceLimit | undefined
  /** Shares of the quota: above the first one what can be spared is removed, down to the second. */
  readonly highWatermark: number
  readonly lowWatermark: number
}

const CHECK_INTERVAL_MS = 1000
/** So long after nothing could be spared, nobody looks again: what is asked for meanwhile is refused at once. */
const FRUITLESS_MS = 2000
/** So long after that, nobody looks for what could be spared for `keepFree` alone: all blobs are gone through for it. */
const SCARCE_MS = 300_000
/** What is freed beyond the floor, as a share of it, so that the next write does not begin the next search. */
const FLOOR_SLACK = 0.1

/** What is about to be written. */
interface Need {
  readonly bytes: number
  /** What of it is counted as used already. */
  readonly promised: number
  readonly fits: () => boolean
}

/** Somebody who waits for space. */
interface Waiter {
  readonly bytes: number
  readonly fits: () => boolean
  readonly wake: () => void
}

/**
 * Keeps writes within the quota of the store, and from filling the disk to the last byte, where LevelDB could no longer
 * note anything. It asks the file system once a second, and in between counts what was taken. As writes may also go where
 * the disk has room for them already, it never refuses by that count, but asks again first. Where there is no room it has
 * some made; whoever waits goes on as soon as there is enough for them.
 */
export class FreeSpace {
  readonly #components: FreeSpaceComponents
  readonly #options: FreeSpaceOptions
  readonly #waiters = new Set<Waiter>()
  #reserved = 0
  #total = 0
  #free = 0
  #checkedAt = Number.NEGATIVE_INFINITY
  #checking: Promise<void> | undefined
  #evicting: Promise<number> | undefined
  #fruitlessUntil = Number.NEGATIVE_INFINITY
  /** Until then nobody looks again for what could be spared for `keepFree`; undefined while enough is free. */
  #scarceUntil: number | undefined
  /** The length of what was refused last for want of space, while there is none for it. */
  #refusedBytes: number | undefined

  constructor(components: FreeSpaceComponents, options: FreeSpaceOptions) {
    this.#components = components
    this.#options = options
  }

  /** For those whose bytes are counted as used before they are written: the check is of what was counted. */
  readonly promised: Space = {
    take: (bytes) => this.#take({ bytes, promised: bytes, fits: () => this.#fitsDisk(bytes) }),
    check: (bytes) => this.#check({ bytes, promised: bytes, fits: () => this.#fitsDisk(bytes) && this.#fitsQuota(0) }),
    distrust: () => this.#distrust()
  }

  /** For all others: takes `bytes` until the result is called, when they are counted elsewhere. @throws {ContentError} DISK_FULL */
  async reserve(bytes: number): Promise<() => void> {
    this.#reserved += bytes
    let isReserved = true
    const release = () => {
      if (isReserved) this.#reserved -= bytes
      isReserved = false
    }
    try {
      await this.#take({ bytes, promised: bytes, fits: () => this.#fitsDisk(bytes) && this.#fitsQuota(0) })
      return release
    } catch (error) {
      release()
      throw error
    }
  }

  report(): StoreSpace {
    const limitBytes = this.#limit
    return {
      ...(limitBytes === Number.POSITIVE_INFINITY ? {} : { limitBytes }),
      usedBytes: this.#used,
      minFreeBytes: this.#minFree,
      freeBytes: this.#free,
      full: this.#refusedBytes !== undefined
    }
  }

  /** Looks how things stand, and makes room before somebody has to wait for it. Now and then. */
  async tend(): Promise<void> {
    await this.#refresh()
    if (this.#reason() !== undefined) await this.#makeRoom()
    this.#setScarce()
    // What was in use when something was refused may be spared by now.
    const bytes = this.#refusedBytes
    if (bytes === undefined) return
    if (await this.#waitFor({ bytes, fits: () => this.#fits(bytes) })) this.#setRefused(undefined)
  }

  async #take(need: Need): Promise<void> {
    await this.#check(need)
    this.#free -= need.bytes
    if (this.#isAbove(this.#options.highWatermark)) this.#makeRoom().catch(() => {})
  }

  async #check(need: Need): Promise<void> {
    if (this.#components.now() - this.#checkedAt < CHECK_INTERVAL_MS && need.fits()) return
    await this.#refresh()
    if (need.fits()) return
    const isPossible = this.#isPossible(need)
    if (isPossible && (await this.#waitFor(need))) {
      if (need.bytes >= (this.#refusedBytes ?? Number.POSITIVE_INFINITY)) this.#setRefused(undefined)
      return
    }
    if (isPossible) this.#setRefused(need.bytes)
    const { limitBytes, minFreeBytes } = this.report()
    const quota = limitBytes === undefined ? '' : `, or more than ${limitBytes} be used by the store`
    throw new ContentError('DISK_FULL', `less than ${minFreeBytes} bytes would stay free on the disk${quota}`)
  }

  /** Whether it could fit at all, so that not everything is removed for what never will. */
  #isPossible({ bytes, promised }: Need): boolean {
    const others = this.#used - promised
    return bytes <= this.#limit && bytes <= this.#free - this.#minFree + others
  }

  /** Waits until it fits. False when nothing more can be spared. */
  async #waitFor({ bytes, fits }: Pick<Need, 'bytes' | 'fits'>): Promise<boolean> {
    for (;;) {
      if (fits()) return true
      const { promise, resolve } = Promise.withResolvers<'freed'>()
      const waiter = { bytes, fits, wake: () => resolve('freed') }
      this.#waiters.add(waiter)
      try {
        const freed = await Promise.race([promise, this.#makeRoom()])
        if (freed === 0) return fits()
      } finally {
        this.#waiters.delete(waiter)
      }
    }
  }

  /** Removes what can be spared until nobody waits and the quota is used to its low watermark. One at a time. @returns how many bytes came free */
  #makeRoom(): Promise<number> {
    if (this.#evicting !== undefined) return this.#evicting
    if (this.#components.now() < this.#fruitlessUntil) return Promise.resolve(0)
    this.#evicting = this.#evict().finally(() => {
      this.#evicting = undefined
    })
    return this.#evicting
  }

  async #evict(): Promise<number> {
    const { lowWatermark } = this.#options
    const enough = () =>
      !this.#isAbove(lowWatermark) &&
      this.#free >= Math.max(this.#minFree, this.#keepFree) * (1 + FLOOR_SLACK) &&
      [...this.#waiters].every(({ fits }) => fits())
    const isForDisk = [...this.#waiters].some(({ bytes }) => !this.#fitsDisk(bytes))
    const reason = this.#reason() ?? (isForDisk ? 'floor' : 'quota')
    const freed = await this.#components.evict(reason, enough, (bytes) => {
      this.#free += bytes
      for (const { wake } of this.#waiters) wake()
    })
    if (!enough()) this.#fruitlessUntil = this.#components.now() + FRUITLESS_MS
    if (freed > 0) await this.#refresh()
    return freed
  }

  /** Why room is needed now. */
  #reason(): RemovalReason | undefined {
    if (this.#free < this.#minFree) return 'floor'
    if (this.#isAbove(this.#options.highWatermark)) return 'quota'
    const isPaused = this.#components.now() < (this.#scarceUntil ?? Number.NEGATIVE_INFINITY)
    return this.#free < this.#keepFree && !isPaused ? 'floor' : undefined
  }

  /** Notes whether less than `keepFree` is free, after room was made for it where there was some. */
  #setScarce(): void {
    const { now, onScarce } = this.#components
    const wasScarce = this.#scarceUntil !== undefined
    const isScarce = this.#free < this.#keepFree
    if (!isScarce) this.#scarceUntil = undefined
    else if (now() >= (this.#scarceUntil ?? Number.NEGATIVE_INFINITY)) this.#scarceUntil = now() + SCARCE_MS
    if (isScarce !== wasScarce) onScarce(isScarce, this.report())
  }

  #isAbove(share: number): boolean {
    return this.#used > this.#limit * share
  }

  #fits(bytes: number): boolean {
    return this.#fitsDisk(bytes) && this.#fitsQuota(bytes)
  }

  #fitsDisk(bytes: number): boolean {
    return this.#free - bytes >= this.#minFree
  }

  #fitsQuota(bytes: number): boolean {
    return this.#used + bytes <= this.#limit
  }

  get #used(): number {
    return this.#components.usedBytes() + this.#reserved
  }

  get #limit(): number {
    const { maxSize } = this.#options
    return maxSize === undefined ? Number.POSITIVE_INFINITY : this.#bytesOf(maxSize)
  }

  get #minFree(): number {
    return this.#bytesOf(this.#options.minFree)
  }

  get #keepFree(): number {
    return this.#bytesOf(this.#options.keepFree)
  }

  #bytesOf(limit: SpaceLimit): number {
    return 'bytes' in limit ? limit.bytes : Math.floor(limit.share * this.#total)
  }

  #setRefused(bytes: number | undefined): void {
    const wasFull = this.#refusedBytes !== undefined
    this.#refusedBytes = bytes
    if (wasFull !== (bytes !== undefined)) this.#components.onFull(this.report())
  }

  #distrust(): void {
    this.#checkedAt = Number.NEGATIVE_INFINITY
  }

  #refresh(): Promise<void> {
    this.#checking ??= this.#ask().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  async #ask(): Promise<void> {
    const { totalBytes, freeBytes } = await this.#components.disk()
    this.#total = totalBytes
    this.#free = freeBytes
    this.#checkedAt = this.#components.now()
  }
}
