import type { Digest } from '@layermesh/oci'
import type { BufferPool } from '../buffer-pool.ts'
import { MeshError } from '../errors.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { parsePeerId } from '../network/rpc.ts'
import type { GrowthMessage } from '../wire/blob-messages.ts'
import type { RejectReason } from '../wire/frames.ts'
import { Channel, type ChannelFault } from './channel.ts'

/** What the channels tell, each with the peer it came from. */
export interface ChannelsListener {
  progress(peerId: string, payloadBytes: number): void
  have(peerId: string, digest: Digest, pieces: readonly number[], growth?: GrowthMessage): void
  fetching(peerId: string, digest: Digest, pieces: readonly number[]): void
  piece(peerId: string, digest: Digest, piece: number, bytes: Buffer): void
  rejected(peerId: string, digest: Digest, piece: number, reason: RejectReason): void
  closed(peerId: string): void
}

/** One channel to each peer that is asked for blobs; opened when needed, kept while the connection lives. */
export class Channels {
  readonly #host: MeshHost
  readonly #directory: PeerDirectory
  readonly #listener: ChannelsListener
  readonly #buffers: BufferPool
  readonly #opening = new Map<string, Promise<Channel>>()
  readonly #open = new Map<string, Channel>()

  constructor(
    components: { host: MeshHost; directory: PeerDirectory; buffers: BufferPool },
    listener: ChannelsListener
  ) {
    this.#host = components.host
    this.#directory = components.directory
    this.#listener = listener
    this.#buffers = components.buffers
  }

  /** The open channel to a peer, if there is one. */
  get(peerId: string): Channel | undefined {
    return this.#open.get(peerId)
  }

  /** Opens the channel to a peer, dialling it when need be. @throws {MeshError} PEER_UNREACHABLE, DEADLINE */
  async open(peerId: string, signal: AbortSignal): Promise<Channel> {
    const present = this.#open.get(peerId)
    if (present?.open) return present
    let opening = this.#opening.get(peerId)
    if (!opening) {
      // It has a deadline of its own, since several may wait for it whose signals end at different times.
      opening = this.connect(peerId).finally(() => this.#opening.delete(peerId))
      opening.catch(() => {})
      this.#opening.set(peerId, opening)
    }
    return await withSignal(opening, signal)
  }

  closeAll(): void {
    for (const channel of [...this.#open.values()]) channel.close()
  }

  private async connect(peerId: string): Promise<Channel> {
    const signal = AbortSignal.timeout(LIMITS.channelOpenDeadlineMs)
    try {
      const stream = await this.#host.dialProtocol(parsePeerId(peerId), PROTOCOL.blob, { signal })
      await withSignal(this.#directory.introduction(peerId), signal)
      if (stream.status !== 'open') throw new MeshError('PEER_UNREACHABLE', 'the stream was refused', { peerId })
      const channel = new Channel(peerId, stream, this.#buffers, this.listenerFor(peerId))
      this.#open.set(peerId, channel)
      return channel
    } catch (cause) {
      throw cause instanceof MeshError
        ? cause
        : new MeshError('PEER_UNREACHABLE', 'no channel to the peer', { peerId, cause })
    }
  }

  private listenerFor(peerId: string) {
    const listener = this.#listener
    return {
      progress: (payloadBytes: number) => listener.progress(peerId, payloadBytes),
      have: (digest: Digest, pieces: readonly number[], growth?: GrowthMessage) =>
        listener.have(peerId, digest, pieces, growth),
      fetching: (digest: Digest, pieces: readonly number[]) => listener.fetching(peerId, digest, pieces),
      piece: (digest: Digest, piece: number, bytes: Buffer) => listener.piece(peerId, digest, piece, bytes),
      rejected: (digest: Digest, piece: number, reason: RejectReason) =>
        listener.rejected(peerId, digest, piece, reason),
      closed: (_error: MeshError, fault: ChannelFault) => {
        this.#open.delete(peerId)
        if (fault === 'malformed') this.#directory.ban(peerId, fault, LIMITS.malformedBanMs)
        if (fault === 'left-early') this.#directory.ban(peerId, fault, LIMITS.silentBanMs)
        listener.closed(peerId)
      }
    }
  }
}

/** Waits for a promise no longer than a signal allows. */
async function withSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new MeshError('DEADLINE', 'no time left')
  return await new Promise<T>((resolve, reject) => {
    const giveUp = () => reject(new MeshError('DEADLINE', 'no answer in time'))
    signal.addEventListener('abort', giveUp, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
  })
}
