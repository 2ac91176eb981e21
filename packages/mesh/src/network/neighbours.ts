import { setTimeout as wait } from 'node:timers/promises'
import { sample } from '../sample.ts'
import type { MeshHost } from './host.ts'
import type { PeerDirectory } from './peer-directory.ts'
import { parsePeerId } from './rpc.ts'

/** As many others each node is connected to if there are so many: a random graph of this degree holds together. */
const ENOUGH_NEIGHBOURS = 8
const MIN_PAUSE_MS = 500
const MAX_PAUSE_MS = 30_000
const ROUND_DEADLINE_MS = 10_000

/**
 * Sees to it that a node knows more of the mesh than the one it joined through, which may go away: while it has few
 * neighbours it asks one of them for others and connects to them.
 */
export class Neighbours {
  readonly #host: MeshHost
  readonly #directory: PeerDirectory
  readonly #stopped = new AbortController()
  #loop: Promise<void> = Promise.resolve()

  constructor(components: { host: MeshHost; directory: PeerDirectory }) {
    this.#host = components.host
    this.#directory = components.directory
  }

  start(): void {
    this.#loop = this.run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loop
  }

  private async run(): Promise<void> {
    const { signal } = this.#stopped
    let pauseMs = MIN_PAUSE_MS
    while (!signal.aborted) {
      // Nodes that started together shall not ask together.
      await wait(pauseMs * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) return
      // Whatever a peer made of this round, the next one asks another.
      const found = await this.round(AbortSignal.any([signal, AbortSignal.timeout(ROUND_DEADLINE_MS)])).catch(
        () => false
      )
      pauseMs = found ? MIN_PAUSE_MS : Math.min(pauseMs * 2, MAX_PAUSE_MS)
    }
  }

  /** @returns whether the next round should come soon */
  private async round(signal: AbortSignal): Promise<boolean> {
    const connected = this.#directory.connected()
    const missing = ENOUGH_NEIGHBOURS - connected.length
    const [asked] = sample([...connected], 1, Math.random)
    if (missing <= 0 || asked === undefined) return false
    const named = await this.#directory.askForPeers(asked, signal).catch(() => [])
    const strangers = named.filter((peerId) => !connected.includes(peerId) && !this.#directory.isBanned(peerId))
    const dials = sample(strangers, missing, Math.random).map((peerId) =>
      this.#host.dial(parsePeerId(peerId), { signal })
    )
    const dialled = await Promise.allSettled(dials)
    return dialled.some(({ status }) => status === 'fulfilled')
  }
}
