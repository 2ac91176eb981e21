import { Sandbox } from '../../support/sandbox.ts'

const MAX_ATTEMPTS = 5
const SILENT_PEER = /"peerId":"(\w+)","reason":"silent".*banned a peer/

/** Thrown by an attempt that shows nothing: what came of it a busy machine can have done as well as a defect. */
export class UnclearError extends Error {
  override readonly name = 'UnclearError'
}

/** One attempt to bring a situation about. */
export interface Attempt {
  /** From 1 on. */
  readonly number: number
  /** Of this attempt alone; its nodes are looked at when it failed. */
  readonly sandbox: Sandbox
  /** Peers that the test itself has fall silent. */
  readonly silenced: Set<string>
}

/**
 * Runs a scenario, and again from the start when it came to nothing: when it says so ({@link UnclearError}), or failed
 * while a node found another one silent to which nothing had happened. Then the machine was too busy to run that one for
 * some seconds, it was shut out as it has to be, and the situation in question did not come about. Any other failure
 * counts, and so does this one when it comes each time.
 */
export async function attempts(scenario: (attempt: Attempt) => Promise<void>): Promise<void> {
  for (let number = 1; ; number++) {
    const attempt = { number, sandbox: new Sandbox(), silenced: new Set<string>() }
    try {
      return await scenario(attempt)
    } catch (error) {
      const starved = attempt.sandbox
        .findInLogs(SILENT_PEER)
        .filter((line) => !attempt.silenced.has(SILENT_PEER.exec(line)?.[1] ?? ''))
      console.error(`${attempt.sandbox.logs()}\nattempt ${number}: ${(error as Error).message}`)
      const isUnclear = error instanceof UnclearError || starved.length > 0
      if (!isUnclear || number === MAX_ATTEMPTS) throw error
    } finally {
      await attempt.sandbox.close()
    }
  }
}
