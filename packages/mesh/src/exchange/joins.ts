/** How peers come to share a blob: they are asked to, and what they offer is judged by what is known of it already. */
import { setTimeout as wait } from 'node:timers/promises'
import type { ContentStore } from '@layermesh/content'
import type { Digest } from '@layermesh/oci'
import type { Discovery } from '../discovery.ts'
import { MeshError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { Joined, PeerAddresses, Refused } from '../wire/blob-messages.ts'
import type { Channels } from './channels.ts'
import type { Download } from './download.ts'
import type { Growths } from './growths.ts'
import { type CheckedOffer, checkOffer } from './offers.ts'
import type { Pieces } from './pieces.ts'
import type { SmallBlobs } from './small-blobs.ts'

export interface JoinsComponents {
  /** Peer id of this node. */
  readonly self: string
  readonly content: Pick<ContentStore, 'pieceMaps'>
  readonly directory: Pick<PeerDirectory, 'isBanned' | 'ban' | 'scope' | 'learn'>
  readonly discovery: Pick<Discovery, 'remember' | 'forget'>
  readonly channels: Pick<Channels, 'open' | 'get'>
  readonly small: Pick<SmallBlobs, 'take'>
  readonly pieces: Pick<Pieces, 'want' | 'joined'>
  readonly growths: Pick<Growths, 'agrees' | 'joined'>
  /** Whether pieces may be used, and streamed to clients, on the word of this signer alone. */
  mayVouch(signer: string): boolean
  /** A peer that has joined says that it brings the blob in. */
  bringsIn(digest: Digest, peerId: string): void
  /** Whether members are not believed in what they say of the pieces of a blob. */
  doubts(digest: Digest): boolean
  /** Whether a gateway is not believed in what it brings from this registry. */
  distrusts(signer: string, registry: string): boolean
}

const FIRST_MEETING_PAUSE_MS = 100
const LAST_MEETING_PAUSE_MS = 6_400

export class Joins {
  readonly #components: JoinsComponents

  constructor(components: JoinsComponents) {
    this.#components = components
  }

  /** Asks a peer to share the blob and takes its offer. @returns the peers that it named */
  async ask(download: Download, peerId: string, signal: AbortSignal): Promise<string[]> {
    const { directory } = this.#components
    const { digest, asking } = download
    if (download.settled || directory.isBanned(peerId) || download.hasEnough(directory.scope(peerId))) return []
    if (asking.has(peerId) || download.disagreeing.has(peerId)) return []
    asking.add(peerId)
    try {
      const channel = await this.#components.channels.open(peerId, signal)
      if (channel.hasJoined(digest)) return []
      const named = await this.takeAnswer(download, peerId, await channel.join(digest, signal))
      if (download.settled) channel.leave(digest)
      return named
    } catch (error) {
      this.#components.discovery.forget(digest, peerId)
      if (error instanceof MeshError && error.code === 'PEER_MISBEHAVED')
        directory.ban(peerId, 'malformed', LIMITS.malformedBanMs)
      return []
    } finally {
      asking.delete(peerId)
    }
  }

  /** Asks a peer that brings the blob in, or has just done so. */
  async share(download: Download, peer: PeerAddresses): Promise<void> {
    if (peer.addresses.length > 0) await this.#components.directory.learn(peer).catch(() => {})
    await this.ask(download, peer.peerId, AbortSignal.timeout(LIMITS.joinDeadlineMs))
  }

  /**
   * Asks a peer that wants the blob until it has something of it to share: it may not know its length yet. It is asked
   * at once when the download begins here, and when it asks while the blob comes into the mesh: two that bring it in
   * at one time must not go on unaware of each other.
   */
  async meet(download: Download, peerId: string): Promise<void> {
    const { meeting, joined } = download
    const askAgain = meeting.get(peerId)
    // Two that have nothing to share yet would only answer each other without end.
    if (askAgain) return download.ledger && askAgain()
    for (let pauseMs = FIRST_MEETING_PAUSE_MS; pauseMs <= LAST_MEETING_PAUSE_MS; pauseMs *= 2) {
      const { promise: called, resolve } = Promise.withResolvers<void>()
      meeting.set(peerId, resolve)
      const hadBegun = download.blob !== undefined
      await this.ask(download, peerId, AbortSignal.timeout(LIMITS.joinDeadlineMs))
      if (download.settled || joined.has(peerId)) break
      const pause = Promise.race([called, wait(pauseMs, undefined, { ref: false })])
      await (hadBegun ? pause : Promise.race([pause, download.shareable]))
    }
    meeting.delete(peerId)
  }

  private async takeAnswer(download: Download, peerId: string, answer: Joined | Refused): Promise<string[]> {
    const { discovery } = this.#components
    const named = await this.learnPeers(answer.peers)
    if ('size' in answer) {
      discovery.remember(download.digest, peerId)
      await this.consider(download, peerId, answer)
    } else discovery.forget(download.digest, peerId)
    return named
  }

  private async learnPeers(peers: readonly PeerAddresses[]): Promise<string[]> {
    const { self, directory } = this.#components
    const others = peers.filter(({ peerId }) => peerId !== self)
    const learnt = await Promise.allSettled(others.map((peer) => directory.learn(peer)))
    return others.filter((_, index) => learnt[index]?.status === 'fulfilled').map(({ peerId }) => peerId)
  }

  private async consider(download: Download, peerId: string, answer: Joined): Promise<void> {
    const { size, maxBytes } = download.request
    if ((size !== undefined && answer.size !== size) || (maxBytes !== undefined && answer.size > maxBytes)) return
    const offer = await checkOffer(download.digest, peerId, answer, (signer) => this.believes(download, signer))
    if (download.settled) return
    if (offer.growth && !this.believesGateway(download, offer.growth.signed.signer))
      this.#components.channels.get(peerId)?.leave(download.digest)
    else if (offer.map === undefined && !offer.growth) await this.#components.small.take(download, offer)
    else if (download.blob) this.join(download, offer)
    else if (download.begun || offer.map?.trusted === false) download.waiting.push(offer)
    else await this.begin(download, offer)
  }

  /** Whether members are believed in what they say of the pieces of a blob: it may come from outside the mesh. */
  private believesMembers({ request, digest }: Download): boolean {
    return request.origin !== undefined && !this.#components.doubts(digest)
  }

  private believesGateway(download: Download, signer: string): boolean {
    const { origin } = download.request
    return origin !== undefined && this.believesMembers(download) && !this.#components.distrusts(signer, origin.name)
  }

  private believes(download: Download, signer: string): boolean {
    return this.#components.mayVouch(signer) || this.believesMembers(download)
  }

  /** Takes from a peer what goes with what is known. */
  private join(download: Download, offer: CheckedOffer): void {
    const { digest } = download
    const { channels, growths, pieces } = this.#components
    if (!growths.agrees(download, offer)) {
      download.disagreeing.add(offer.peerId)
      return channels.get(offer.peerId)?.leave(digest)
    }
    pieces.joined(download, offer)
    growths.joined(download, offer.peerId)
    if (offer.fetching.length > 0) this.#components.bringsIn(digest, offer.peerId)
  }

  /** Length and beginning of the blob are known: it is brought, and shared. */
  began(download: Download): void {
    this.#components.pieces.want(download)
    for (const offer of download.waiting.splice(0)) this.join(download, offer)
  }

  private async begin(download: Download, offer: CheckedOffer): Promise<void> {
    const { content } = this.#components
    try {
      download.waiting.unshift(offer)
      if (offer.growth) await download.beginEntering(offer.size)
      else await download.begin(offer)
      if (offer.map && this.#components.mayVouch(offer.map.signer))
        await content.pieceMaps.put(download.digest, offer.map.envelope)
      this.began(download)
    } catch (error) {
      download.fail(error instanceof Error ? error : new Error('the download could not begin', { cause: error }))
    }
  }

  /** When the search ends and nobody trusted vouched for the pieces, an untrusted map has to do; the whole is verified before it is used. */
  async settleForLess(download: Download): Promise<void> {
    if (download.begun || download.settled) return
    const offer = download.waiting.shift()
    if (offer) await this.begin(download, offer)
  }
}
