import type { ContentStore } from '@layermesh/content'
import { type Digest, pieceCount } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { MeshObserver } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import type { Download } from './download.ts'

export interface MapJudgeComponents {
  /** Peer id of this node. */
  readonly self: string
  readonly content: Pick<ContentStore, 'downloads' | 'pieceMaps'>
  readonly directory: Pick<PeerDirectory, 'ban'>
  readonly observer: Pick<MeshObserver, 'pieceFailed'>
  mayVouch(signer: string): boolean
  /** What was said of the pieces of this blob is wrong. */
  wrong(digest: Digest): void
}

const WRONG_MAP_BAN_MS = 60 * 60_000
const BLOBS_KEPT = 256
const DISTRUSTED_KEPT = 1_024

/**
 * Judges what was said of the pieces of a blob by the whole of it.
 *
 * The signer of a piece map had all of the blob before, so a wrong one is a lie. A gateway that brought in a wrong blob
 * may have been given it so: shutting it out would let any registry that gives wrong bytes take a mesh apart. Its word
 * on what comes from that registry is not taken for a while, which is short until the blob comes another time: if this
 * node's own origin gives it wrong too, the gateway is believed again, and if it comes right, the while gets longer.
 */
export class MapJudge {
  readonly #components: MapJudgeComponents
  /** Blobs that turned out wrong with what members said of their pieces, who are not believed for a while. */
  readonly #doubted = new LRUCache<Digest, true>({ max: BLOBS_KEPT, ttl: LIMITS.doubtMs })
  /** Gateways that are not believed in what they bring from a registry, by {@link wordOf}. */
  readonly #distrusted = new LRUCache<string, true>({ max: DISTRUSTED_KEPT, ttl: LIMITS.doubtMs })
  /** Blobs that turned out wrong, and who brought them in from where. */
  readonly #suspected = new LRUCache<Digest, string>({ max: BLOBS_KEPT, ttl: LIMITS.distrustMs })

  constructor(components: MapJudgeComponents) {
    this.#components = components
  }

  doubts(digest: Digest): boolean {
    return this.#doubted.has(digest)
  }

  /** Whether a gateway is not believed for a while in what it says of pieces that it brings from this registry. */
  distrusts(signer: string, registry: string): boolean {
    return this.#distrusted.has(wordOf(signer, registry))
  }

  /**
   * Waits for the whole blob and judges the map by it: one that was proved is kept for peers, and the signer of one
   * whose pieces do not make the blob lied.
   */
  async judge(download: Download): Promise<void> {
    const { digest, map } = download
    const { content, mayVouch, wrong } = this.#components
    try {
      await content.downloads.whole(digest)
      this.cameRight(digest)
      if (map && !mayVouch(map.signer)) await content.pieceMaps.put(digest, map.envelope)
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined
      if (cause?.code !== 'DIGEST_MISMATCH') return
      wrong(digest)
      if (map) await this.convict(digest, map.signer)
      else this.cameWrong(download)
    }
  }

  private async convict(digest: Digest, signer: string): Promise<void> {
    const { content, directory, observer } = this.#components
    observer.pieceFailed({ peerId: signer, digest, piece: -1, reason: 'wrong-map' })
    directory.ban(signer, 'wrong-map', WRONG_MAP_BAN_MS)
    await content.pieceMaps.delete(digest).catch(() => {})
  }

  /** A blob that came into the mesh is wrong: whoever said what its pieces are, nobody is believed in that so soon. */
  private cameWrong(download: Download): void {
    const { digest, request } = download
    this.#doubted.set(digest, true)
    const gateway = soleGateway(download)
    if (gateway === undefined || !request.origin) return
    if (gateway === this.#components.self) return this.acquit(digest)
    this.#components.observer.pieceFailed({ peerId: gateway, digest, piece: -1, reason: 'wrong-map' })
    const word = wordOf(gateway, request.origin.name)
    if (!this.#distrusted.has(word)) this.#distrusted.set(word, true)
    this.#suspected.set(digest, word)
  }

  /** This node was given the same blob wrong. */
  private acquit(digest: Digest): void {
    const word = this.#suspected.get(digest)
    this.#suspected.delete(digest)
    if (word !== undefined) this.#distrusted.delete(word)
  }

  /** The registry has it right, so the one who brought it in wrong may have lied. */
  private cameRight(digest: Digest): void {
    const word = this.#suspected.get(digest)
    this.#suspected.delete(digest)
    if (word !== undefined) this.#distrusted.set(word, true, { ttl: LIMITS.distrustMs })
  }
}

/** The node that by its own word brought in all of a blob. */
function soleGateway({ ledger }: Download): string | undefined {
  const growth = ledger?.newest
  if (!growth) return undefined
  const { since, count, length } = growth.map
  return since === 0 && count === pieceCount(length) ? growth.signer : undefined
}

function wordOf(gateway: string, registry: string): string {
  return `${gateway} ${registry}`
}
