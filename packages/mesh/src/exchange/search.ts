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
  /** Resolves after `ms`, or when the signal is aborted. */
  pause(ms: number, signal: AbortSignal): Promise<void>
}

export interface SearchOptions {
  /** Time for peers that have to be found and dialled first, in ms. */
  readonly findWithinMs: number
}

/**
 * How much is done for what is wanted: nobody gives it; some do, so that there is time to find others; as many do as are
 * needed; nobody need be asked any more.
 */
export type Supply = 'none' | 'some' | 'enough' | 'settled'

/** What is searched for. */
export interface Wanted {
  readonly digest: Digest
  /** Peers that are likely to have it. */
  readonly likely: readonly string[]
  /** Peers that were asked already; those that are asked now are added. */
  readonly asked: Set<string>
  /** Asks one peer; resolves with the peers that it named. Never rejects. */
  ask(peerId: string, signal: AbortSignal): Promise<readonly string[]>
  supply(): Supply
  /** Told when all peers that this node is connected to have answered; strangers are still looked for. */
  neighboursAnswered?(): void
}

const MAX_ASKED = 48

/**
 * Looks for peers that have a blob, and asks whoever they name at once. Those that are likely to have it are asked first.
 * When they don't settle it within a moment, a few that happen to be connected are asked too, and the DHT, whose walk
 * dials strangers and keeps them and this node busy; when somebody is giving the blob, it is walked later, and only if
 * more are needed. Ends when everybody has answered or their time is up: connected peers get as long as an answer takes
 * at most, strangers `findWithinMs`.
 */
export async function searchPeers(
  wanted: Wanted,
  components: SearchComponents,
  options: SearchOptions,
  signal: AbortSignal
): Promise<void> {
  const { digest, asked } = wanted
  const untilFound = () => AbortSignal.any([signal, AbortSignal.timeout(options.findWithinMs)])
  let strangers = untilFound()
  const connected = new Set(components.connected())
  const running = new Set<Promise<void>>()

  const start = (peerId: string) => {
    if (asked.has(peerId) || asked.size >= MAX_ASKED || signal.aborted || wanted.supply() === 'settled') return
    asked.add(peerId)
    const one = wanted
      .ask(peerId, connected.has(peerId) ? signal : strangers)
      .then((named) => named.forEach(start))
      .finally(() => running.delete(one))
    running.add(one)
  }
  const allAnswered = async () => {
    while (running.size > 0) await Promise.all(running)
  }

  const trusted = components.seeds().filter((seed) => connected.has(seed))
  for (const peerId of [...wanted.likely, ...trusted, ...components.holders(digest)]) start(peerId)
  await Promise.race([components.pause(LIMITS.searchHeadStartMs, signal), allAnswered()])
  for (const peerId of sample([...connected], LIMITS.peersAskedBlindly, components.random)) start(peerId)
  void allAnswered().then(() => [...connected].every((peerId) => asked.has(peerId)) && wanted.neighboursAnswered?.())
  if (wanted.supply() === 'some') {
    await components.pause(LIMITS.walkDelayMs, signal)
    strangers = untilFound()
  }
  if (['none', 'some'].includes(wanted.supply())) {
    try {
      for await (const peerId of components.findProviders(digest, strangers)) start(peerId)
    } catch {
      // A DHT that can't be asked names nobody; the others may still answer.
    }
  }
  await allAnswered()
}
