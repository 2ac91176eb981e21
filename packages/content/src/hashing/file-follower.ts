import type { StoredFile } from '../disk/files.ts'

export interface FollowerSteps {
  /** Takes in the bytes from `from` to `to`. */
  readonly take: (fd: number, from: number, to: number) => Promise<void>
  /** Forgets all that was taken in. */
  readonly forget: () => void
}

/**
 * Goes through a file from its first byte, in the background, behind whoever writes it. What it reads was written a
 * moment ago, so it comes from the page cache.
 */
export class FileFollower {
  readonly #steps: FollowerSteps
  readonly #stepBytes: number
  #position = 0
  #target = 0
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
    this.#target = Math.max(this.#target, to)
    if (this.#following !== undefined || this.#position >= this.#target || !file.retain()) return
    this.#following = this.#takeAll(file)
      .catch(() => this.#forget())
      .finally(() => {
        this.#following = undefined
        file.release()
      })
  }

  /** Resolves once the bytes up to `to` are taken in; rejects when it is rewound or reset in between. */
  async catchUp(file: StoredFile, to: number): Promise<void> {
    await this.#following
    this.#target = to
    await this.#takeAll(file)
    if (this.#position !== to) throw new Error('the file is no longer followed')
  }

  /** The file changes from `position` on: forgets all if it is further. Resolves when it reads there no more. */
  async rewind(position: number): Promise<void> {
    this.#target = Math.min(this.#target, position)
    await this.#following
    if (this.#position > position) this.#forget()
  }

  /** Forgets all. */
  async reset(): Promise<void> {
    this.#target = 0
    await this.#following
    this.#forget()
  }

  async #takeAll(file: StoredFile): Promise<void> {
    while (this.#position < this.#target) {
      const from = this.#position
      const to = Math.min(from + this.#stepBytes, this.#target)
      await file.use((fd) => this.#steps.take(fd, from, to))
      this.#position = to
    }
  }

  #forget(): void {
    this.#position = 0
    this.#target = 0
    this.#steps.forget()
  }
}
