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
const DOUBTED_KEPT = 256

/** Judges what was said of the pieces of a blob by the whole of it. */
export class MapJudge {
  readonly #components: MapJudgeComponents
  /** Blobs that turned out wrong with what members said of their pieces, who are not believed for a while. */
  readonly #doubted = new LRUCache<Digest, true>({ max: DOUBTED_KEPT, ttl: LIMITS.doubtMs })

  constructor(components: MapJudgeComponents) {
    this.#components = components
  }

  doubts(digest: Digest): boolean {
    return this.#doubted.has(digest)
  }

  /**
   * Waits for the whole blob and judges the map by it: one that was proved is kept for peers, and the signer of one
   * whose pieces do not make the blob lied.
   */
  async judge(download: Download): Promise<void> {
    const { digest, map } = download
    const { content, directory, observer, mayVouch, wrong } = this.#components
    try {
      await content.downloads.whole(digest)
      if (map && !mayVouch(map.signer)) await content.pieceMaps.put(digest, map.envelope)
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined
      if (cause?.code !== 'DIGEST_MISMATCH') return
      wrong(digest)
      const liar = map?.signer ?? this.soleGateway(download)
      // Without one, nobody can be convicted; but members are not believed again so soon.
      if (!map) this.#doubted.set(digest, true)
      if (liar === undefined) return
      observer.pieceFailed({ peerId: liar, digest, piece: -1, reason: 'wrong-map' })
      directory.ban(liar, 'wrong-map', map ? WRONG_MAP_BAN_MS : LIMITS.wrongGrowthBanMs)
      if (map) await content.pieceMaps.delete(digest).catch(() => {})
    }
  }

  /** The peer that by its own word brought in all of a blob. */
  private soleGateway({ ledger }: Download): string | undefined {
    const growth = ledger?.newest
    if (!growth || growth.signer === this.#components.self) return undefined
    const { since, count, length } = growth.map
    return since === 0 && count === pieceCount(length) ? growth.signer : undefined
  }
}
