/**
 * Blobs of at most one piece: manifests, configurations, small layers. Their digest proves them, so they need no map and
 * no swarm: one comes whole or not at all, from one peer after the other until one brings it. Its length is believed
 * only with its bytes.
 */
import { type Digest, digestAlgorithm, digestOf } from '@layermesh/oci'
import type { MeshObserver } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { Channel } from './channel.ts'
import type { Download } from './download.ts'
import type { CheckedOffer } from './offers.ts'

export interface SmallBlobsComponents {
  readonly directory: Pick<PeerDirectory, 'ban'>
  readonly observer: Pick<MeshObserver, 'pieceFailed'>
  channel(peerId: string): Channel | undefined
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

type Settle = (bytes: Uint8Array | undefined) => void

export class SmallBlobs {
  readonly #components: SmallBlobsComponents
  readonly #waits = new Map<string, Settle>()
  /** When each peer that is waited for sent anything last. */
  readonly #heardAt = new Map<string, number>()

  constructor(components: SmallBlobsComponents) {
    this.#components = components
  }

  /** Tries an offer, or has whoever tries another one go on with it. */
  async take(download: Download, offer: CheckedOffer): Promise<void> {
    download.smallOffers.push(offer)
    if (download.takingSmall) return
    download.takingSmall = true
    try {
      for (let next = download.smallOffers.shift(); next && !download.settled; next = download.smallOffers.shift()) {
        await this.try(download, next)
      }
    } finally {
      download.takingSmall = false
    }
  }

  /** Something came from a peer. */
  heard(peerId: string): void {
    if (this.#heardAt.has(peerId)) this.#heardAt.set(peerId, this.#components.now())
  }

  /** The peer answered with these bytes, or refused. @returns false when nobody waits for it */
  settle(peerId: string, digest: Digest, bytes: Uint8Array | undefined): boolean {
    const settle = this.#waits.get(keyOf(peerId, digest))
    settle?.(bytes)
    return settle !== undefined
  }

  /** The peer is gone; whoever waits for it need not. */
  gone(peerId: string): void {
    for (const [key, settle] of this.#waits) if (key.startsWith(`${peerId} `)) settle(undefined)
  }

  private async try(download: Download, offer: CheckedOffer): Promise<void> {
    const { digest } = download
    const bytes = offer.size === 0 ? new Uint8Array() : await this.ask(digest, offer)
    if (bytes === undefined || download.settled) return
    download.count(offer.peerId, bytes.byteLength)
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      return this.blame(offer.peerId, digest, 'wrong-bytes', LIMITS.malformedBanMs)
    try {
      const blob = await download.begin(offer)
      if (bytes.byteLength > 0) await blob.write(0, bytes)
      download.complete()
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('the blob could not be kept', { cause: error }))
    }
  }

  /** Waits as long as something comes from the peer, and within a bound. */
  private async ask(digest: Digest, { peerId, size }: CheckedOffer): Promise<Uint8Array | undefined> {
    const { channel, now } = this.#components
    const open = channel(peerId)
    const key = keyOf(peerId, digest)
    if (!open || this.#waits.has(key)) return undefined
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>()
    this.#waits.set(key, resolve)
    const askedAt = now()
    this.#heardAt.set(peerId, askedAt)
    let lookedAt = askedAt
    const timer = setInterval(() => {
      // When this process stood still, what the peer sent meanwhile was not read yet.
      if (now() - lookedAt >= LIMITS.smallBlobSilenceMs / 2) this.#heardAt.set(peerId, now())
      lookedAt = now()
      const silent = now() - (this.#heardAt.get(peerId) ?? askedAt) >= LIMITS.smallBlobSilenceMs
      if (silent) this.blame(peerId, digest, 'silent', LIMITS.silentBanMs)
      if (silent || now() - askedAt >= LIMITS.smallBlobDeadlineMs) resolve(undefined)
    }, LIMITS.smallBlobSilenceMs / 10)
    open.request(digest, 0, size)
    return await promise.finally(() => {
      clearInterval(timer)
      this.#waits.delete(key)
      if (![...this.#waits.keys()].some((other) => other.startsWith(`${peerId} `))) this.#heardAt.delete(peerId)
    })
  }

  private blame(peerId: string, digest: Digest, reason: 'wrong-bytes' | 'silent', banMs: number): void {
    const { observer, directory } = this.#components
    observer.pieceFailed({ peerId, digest, piece: 0, reason })
    directory.ban(peerId, reason, banMs)
  }
}

function keyOf(peerId: string, digest: Digest): string {
  return `${peerId} ${digest}`
}
