import type { Digest } from '@layermesh/oci'
import { LIMITS } from '../limits.ts'
import { sample } from '../sample.ts'

export interface SearchComponents {
  /** Peers that this node is connected to. */
  connected(): string[]
  /** Trusted peers, which see most requests. */
  seeds(): readonly string[]
  /** Peers that are said to hold the blob. */
  holders(digest: Digest): string[]
  findProviders(digest: Digest, signal: AbortSignal): AsyncIterable<string>
  /** A number in [0, 1). */
  random(): number
}

export interface SearchOptions {
  /** Time for peers that have to be found and dialled first, in ms. */
  readonly findWithinMs: number
}

/** Asks one peer; resolves with the peers that it named. Never rejects. */
export type Ask = (peerId: string, signal: AbortSignal) => Promise<readonly string[]>

const MAX_ASKED = 48

/**
 * Looks for peers that have a blob: those that are likely to, a few that happen to be connected, those that the DHT
 * names, and those that any of them name, all at once. Ends when everybody has answered or their time is up: connected
 * peers get as long as an answer takes at most, strangers `findWithinMs`.
 */
export async function searchPeers(
  digest: Digest,
  likely: readonly string[],
  asked: Set<string>,
  ask: Ask,
  components: SearchComponents,
  options: SearchOptions,
  signal: AbortSignal
): Promise<void> {
  const strangers = AbortSignal.any([signal, AbortSignal.timeout(options.findWithinMs)])
  const connected = new Set(components.connected())
  const running = new Set<Promise<void>>()

  const start = (peerId: string) => {
    if (asked.has(peerId) || asked.size >= MAX_ASKED || signal.aborted) return
    asked.add(peerId)
    const one = ask(peerId, connected.has(peerId) ? signal : strangers)
      .then((named) => named.forEach(start))
      .finally(() => running.delete(one))
    running.add(one)
  }

  for (const peerId of [
    ...likely,
    ...components.seeds().filter((seed) => connected.has(seed)),
    ...components.holders(digest)
  ])
    start(peerId)
  for (const peerId of sample([...connected], LIMITS.peersAskedBlindly, components.random)) start(peerId)
  try {
    for await (const peerId of components.findProviders(digest, strangers)) start(peerId)
  } catch {
    // A DHT that can't be asked names nobody; the others may still answer.
  }
  while (running.size > 0) await Promise.all(running)
}
