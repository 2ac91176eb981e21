import type { Logger } from '../log.ts'

export interface WatchedFileInit<T> {
  /** What it is, for the log. */
  readonly what: string
  /** Reads and checks the file. @throws when it can't be used */
  readonly read: () => Promise<T>
  isSame(one: T, other: T): boolean
  readonly onChange: (value: T) => void
  readonly log: Pick<Logger, 'info' | 'error'>
  /** How often it is read, in ms. @default 5 000 */
  readonly everyMs?: number
}

const EVERY_MS = 5_000

/**
 * A small file that is read again and again, so that it can change while a node runs. It is read rather than watched,
 * since what Kubernetes mounts is swapped by a symbolic link. While it can't be used, what it held before counts on.
 */
export class WatchedFile<T> {
  readonly #init: WatchedFileInit<T>
  #value: T
  #complaint: string | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor(init: WatchedFileInit<T>, value: T) {
    this.#init = init
    this.#value = value
  }

  /** Reads the file for the first time. @throws when it can't be used */
  static async open<T>(init: WatchedFileInit<T>): Promise<WatchedFile<T>> {
    return new WatchedFile(init, await init.read())
  }

  get value(): T {
    return this.#value
  }

  start(): void {
    const timer = setTimeout(async () => {
      await this.check()
      if (this.#timer === timer) this.start()
    }, this.#init.everyMs ?? EVERY_MS)
    this.#timer = timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Looks at the file now. Never throws: what can't be used is logged, once. */
  async check(): Promise<void> {
    const { what, read, isSame, onChange, log } = this.#init
    try {
      const value = await read()
      this.#complaint = undefined
      if (isSame(value, this.#value)) return
      this.#value = value
      log.info({}, `took the new ${what}`)
      onChange(value)
    } catch (error) {
      const complaint = String(error)
      if (complaint !== this.#complaint) {
        log.error({ reason: complaint }, `the ${what} can not be used; what was there before counts on`)
      }
      this.#complaint = complaint
    }
  }
}
