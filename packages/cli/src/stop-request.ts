import { EXIT } from './failure.ts'

const SIGNALS = ['SIGTERM', 'SIGINT'] as const
const TERMINAL_SIGNALS = [...SIGNALS, 'SIGHUP'] as const

/** The part of `process` that is told to stop. */
export interface Stoppable {
  on(event: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
  exit(code: number): void
}

/**
 * Waits for the first signal to stop. A second one ends the process at once; so does the time limit, which counts from
 * the first, even when nothing has begun to wait for it yet.
 */
export class StopRequest {
  /** Resolves with the first signal. */
  readonly requested: Promise<NodeJS.Signals>

  /** @param onTerminal whether SIGHUP means that the terminal is gone; a service is told so to open its logs anew */
  constructor(process: Stoppable, limitMs: number, { onTerminal }: { readonly onTerminal: boolean }) {
    const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>()
    this.requested = promise
    let told = false
    for (const name of onTerminal ? TERMINAL_SIGNALS : SIGNALS) {
      process.on(name, (signal) => {
        if (told) return process.exit(EXIT.failed)
        told = true
        setTimeout(() => process.exit(EXIT.done), limitMs).unref()
        resolve(signal)
      })
    }
  }
}
