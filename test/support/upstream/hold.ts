import { EventEmitter, once } from 'node:events'

/** Where things hang until they are let go. */
export class Hold {
  readonly #changes = new EventEmitter<{ hanging: [] }>()
  #release = Promise.withResolvers<void>()
  #hanging = 0

  /** Hangs until it is let go, or until `gone` resolves. */
  async hang(gone: Promise<unknown>): Promise<void> {
    this.#hanging += 1
    this.#changes.emit('hanging')
    await Promise.race([this.#release.promise, gone])
    this.#hanging -= 1
  }

  /** What hangs now goes on. */
  release(): void {
    this.#release.resolve()
    this.#release = Promise.withResolvers()
  }

  /** Resolves when so many hang at one time. */
  async reached(count: number): Promise<void> {
    while (this.#hanging < count) await once(this.#changes, 'hanging')
  }
}
