import type { StoredFile } from '../disk/files.ts'

export interface FollowerSteps {
  /** Takes in the bytes from `from` to `to`. */
  readonly take: (fd: number, from: number, to: number) => Promise<void>
  /** Forgets all that was taken in. */
  readonly forget: () => void
}

/**
 * Goes through a file from its first byte, in the background: in step with whoever writes it, from memory, or behind,
 * from the file. What it reads was written a moment ago, so it comes from the page cache.
 */
export class FileFollower {
  readonly #steps: FollowerSteps
  readonly #stepBytes: number
  #position = 0
  /** How far the file may be read. */
  #written = 0
  #following: Promise<void> | undefined

  /** @param stepBytes how much is taken in at once, so that others who use the same threads get their turn */
  constructor(steps: FollowerSteps, stepBytes: number) {
    this.#steps = steps
    this.#stepBytes = stepBytes
  }

  /** How many bytes were taken in. */
  get position(): number {
    return this.#position
  }

  /** The bytes up to `to` are in the file: takes them in, in the background. After a failure it begins anew. */
  follow(file: StoredFile, to: number): void {
    this.#written = Math.max(this.#written, to)
    if (this.#following !== undefined || this.#position >= this.#written || !file.retain()) return
    void this.#inBackground(this.#takeAll(file)).finally(() => file.release())
  }

  /**
   * Has `take` take in the bytes from `from` to `to`, which are not in the file yet, if they come next after all that was
   * asked. Rejects as `take` does, and begins anew.
   */
  async feed(from: number, to: number, take: () => Promise<void>): Promise<void> {
    const feeding = this.#feed(from, to, take, this.#following)
    void this.#inBackground(feeding)
    await feeding
  }

  /** Resolves once the bytes up to `to` are taken in; rejects when it is rewound or reset in between. */
  async catchUp(file: StoredFile, to: number): Promise<void> {
    await this.#following
    this.#written = to
    await this.#takeAll(file)
    if (this.#position !== to) throw new Error('the file is no longer followed')
  }

  /** The file changes from `position` on: forgets all if it is further. Resolves when it reads there no more. */
  async rewind(position: number): Promise<void> {
    this.#written = Math.min(this.#written, position)
    await this.#following
    if (this.#position > position) this.#forget()
  }

  /** Forgets all. */
  async reset(): Promise<void> {
    this.#written = 0
    await this.#following
    this.#forget()
  }

  async #takeAll(file: StoredFile): Promise<void> {
    while (this.#position < this.#written) {
      const from = this.#position
      const to = Math.min(from + this.#stepBytes, this.#written)
      await file.use((fd) => this.#steps.take(fd, from, to))
      this.#position = to
    }
  }

  async #feed(from: number, to: number, take: () => Promise<void>, before: Promise<void> | undefined): Promise<void> {
    await before
    if (this.#position !== from) return
    await take()
    this.#position = to
  }

  #inBackground(work: Promise<void>): Promise<void> {
    const following = work
      .catch(() => this.#forget())
      .finally(() => {
        if (this.#following === following) this.#following = undefined
      })
    this.#following = following
    return following
  }

  #forget(): void {
    this.#position = 0
    this.#written = 0
    this.#steps.forget()
  }
}
