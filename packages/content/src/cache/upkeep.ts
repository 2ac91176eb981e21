import type { FreeSpace } from '../disk/free-space.ts'
import type { Uses } from './uses.ts'

export interface UpkeepComponents {
  readonly uses: Pick<Uses, 'save'>
  readonly space: Pick<FreeSpace, 'tend'>
  readonly onError: (error: unknown) => void
}

export interface UpkeepOptions {
  readonly saveUsesMs: number
  readonly tendMs: number
}

/** What the store does by itself once in a while. */
export class Upkeep {
  readonly #components: UpkeepComponents
  readonly #timers: NodeJS.Timeout[]
  readonly #running = new Set<Promise<void>>()

  constructor(components: UpkeepComponents, { saveUsesMs, tendMs }: UpkeepOptions) {
    this.#components = components
    const { uses, space } = components
    this.#timers = [this.#every(saveUsesMs, () => uses.save()), this.#every(tendMs, () => space.tend())]
  }

  /** Ends it, after a last note of what was used. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all(this.#running)
    await this.#components.uses.save().catch(this.#components.onError)
  }

  /** Does `work` every so often, never twice at one time. */
  #every(ms: number, work: () => Promise<void>): NodeJS.Timeout {
    let running: Promise<void> | undefined
    const run = () => {
      if (running !== undefined) return
      const turn = work()
        .catch(this.#components.onError)
        .finally(() => {
          running = undefined
          this.#running.delete(turn)
        })
      running = turn
      this.#running.add(turn)
    }
    return setInterval(run, ms).unref()
  }
}
