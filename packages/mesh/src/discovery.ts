import { setTimeout as wait } from 'node:timers/promises'
import { type Digest, digestAlgorithm, digestBytes } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digests from 'multiformats/hashes/digest'
import PQueue from 'p-queue'
import type { MeshObserver } from './interfaces.ts'
import { LIMITS } from './limits.ts'
import type { MeshHost } from './network/host.ts'

/** Codes of the multihash table. */
const MULTIHASH = { sha256: 0x12, sha512: 0x13 } as const
const ANNOUNCE_CONCURRENCY = 2

/** The key of a digest in the DHT: CIDv1, raw, with the digest's own hash. */
function digestCid(digest: Digest): CID {
  return CID.createV1(raw.code, Digests.create(MULTIHASH[digestAlgorithm(digest)], digestBytes(digest)))
}

export interface DiscoveryOptions {
  /** How long after it was wanted a blob is announced, in ms. */
  readonly announceAfterMs: number
}

/** Who holds what: the DHT, and what was learnt on the way. A provider is a hint: ask the peer. */
export class Discovery {
  readonly #host: MeshHost
  readonly #observer: Pick<MeshObserver, 'providerFound'>
  readonly #options: DiscoveryOptions
  readonly #holders = new LRUCache<Digest, Set<string>>({ max: LIMITS.knownHolders })
  readonly #announcing = new PQueue({ concurrency: ANNOUNCE_CONCURRENCY })
  readonly #announced = new LRUCache<Digest, true>({ max: LIMITS.knownHolders })
  readonly #stopped = new AbortController()

  constructor(
    host: MeshHost,
    observer: Pick<MeshObserver, 'providerFound'>,
    options: DiscoveryOptions = { announceAfterMs: LIMITS.announceAfterMs }
  ) {
    this.#host = host
    this.#observer = observer
    this.#options = options
  }

  /** Remembers that a peer holds, or is fetching, a blob. */
  remember(digest: Digest, peerId: string): void {
    const holders = this.#holders.get(digest) ?? new Set()
    holders.delete(peerId)
    holders.add(peerId)
    for (const oldest of holders) {
      if (holders.size <= LIMITS.holdersPerBlob) break
      holders.delete(oldest)
    }
    this.#holders.set(digest, holders)
  }

  /** Forgets a peer that turned out not to hold a blob. */
  forget(digest: Digest, peerId: string): void {
    this.#holders.get(digest)?.delete(peerId)
  }

  /** Peers that are said to hold a blob, the latest first. */
  holders(digest: Digest): string[] {
    return [...(this.#holders.get(digest) ?? [])].reverse()
  }

  /** Providers from the DHT, as they are found; ends with the walk, after enough of them, or silently with `signal`. */
  async *findProviders(digest: Digest, signal: AbortSignal): AsyncGenerator<string> {
    const begun = performance.now()
    const seen = new Set([this.#host.peerId.toString()])
    try {
      for await (const { id, multiaddrs } of this.#host.contentRouting.findProviders(digestCid(digest), { signal })) {
        const peerId = id.toString()
        if (seen.has(peerId)) continue
        if (seen.size === 1) this.#observer.providerFound({ elapsedMs: performance.now() - begun })
        seen.add(peerId)
        if (multiaddrs.length > 0) await this.#host.peerStore.merge(id, { multiaddrs })
        yield peerId
        if (seen.size > LIMITS.providersPerSearch) return
      }
    } catch (error) {
      if (!signal.aborted && !isExhausted(error)) throw error
    }
  }

  /**
   * Tells the DHT that this node holds, or is fetching, a blob; once, and only after a while: it takes a walk, which
   * would slow down the pull that the blob is for, and by then enough others may be known to hold it.
   */
  announce(digest: Digest): void {
    const { signal } = this.#stopped
    if (this.#announced.has(digest) || this.#announcing.size >= LIMITS.announceQueue || signal.aborted) return
    this.#announced.set(digest, true)
    const due = performance.now() + this.#options.announceAfterMs
    this.#announcing
      .add(async () => {
        await wait(Math.max(0, due - performance.now()), undefined, { signal, ref: false })
        if ((this.#holders.peek(digest)?.size ?? 0) >= LIMITS.enoughProviders) {
          this.#announced.delete(digest)
          return
        }
        const deadline = AbortSignal.any([signal, AbortSignal.timeout(LIMITS.announceDeadlineMs)])
        await this.#host.contentRouting.provide(digestCid(digest), { signal: deadline })
      })
      .catch(() => this.#announced.delete(digest))
  }

  /** Says no more that this node holds a blob; records that others keep run out by themselves. */
  async withdraw(digest: Digest): Promise<void> {
    this.#announced.delete(digest)
    await this.#host.contentRouting.cancelReprovide(digestCid(digest))
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#announcing.clear()
    await this.#announcing.onIdle()
  }
}

/** A walk that found nobody ends with an error in some cases; it is an answer here. */
function isExhausted(error: unknown): boolean {
  return (
    error instanceof Error &&
    ['NotFoundError', 'NoContentRoutersError', 'QueryAbortedError', 'AbortError', 'TimeoutError'].includes(error.name)
  )
}
