import { setTimeout as sleep } from 'node:timers/promises'
import { isClean, type KnownBlob } from './known-blob.ts'
import type { Member } from './member.ts'
import type { Progress } from './progress.ts'

const PAUSE_MS = 100

/**
 * A client that pulls a blob until it has all of it: when a pull ends early it asks for the rest.
 * @returns how many pulls it took
 * @throws for a wrong byte, or an answer that is no clean refusal
 */
export async function pullPersistently(
  blob: KnownBlob,
  from: Member,
  progress: Progress,
  signal: AbortSignal
): Promise<number> {
  let start = 0
  for (let pulls = 1; ; pulls++) {
    await from.up
    const end = await blob.pull(from.node, { start, signal, onBytes: (bytes) => progress.add(bytes) }).end
    signal.throwIfAborted()
    start += end.bytes
    if (end.whole) return pulls
    if (!isClean(end)) throw new Error(`${from.node.name} answered ${end.status}: ${end.message}`)
    await sleep(PAUSE_MS)
  }
}
