import type { Digest } from '@layermesh/oci'
import type { SeedRouter } from '../backend/seed-router.ts'
import type { ContentKind, MirroredContent } from './mirrored-content.ts'
import type { MirroredRepository } from './mirrors.ts'

/** Why a digest may be shown in a mirrored repository. */
export interface Proof {
  /** Peers that hold it and say that it is in the repository; empty when the registry said so. */
  readonly candidates: readonly string[]
  readonly size?: number
}

export interface ProveComponents {
  readonly router: Pick<SeedRouter, 'confirm'>
  readonly content: Pick<MirroredContent, 'ask'>
}

/**
 * Asks peers and the registry at once whether a digest is in a mirrored repository; the first who says so settles it.
 * @returns undefined when nobody says so
 */
export async function prove(
  { router, content }: ProveComponents,
  mirrored: MirroredRepository,
  digest: Digest,
  kind: ContentKind,
  signal: AbortSignal
): Promise<Proof | undefined> {
  const settled = new AbortController()
  const byPeers = router
    .confirm(mirrored.repository, digest, AbortSignal.any([signal, settled.signal]))
    .then((candidates): Proof => (candidates.length > 0 ? { candidates } : unproven()))
  const byRegistry = content
    .ask(mirrored, digest, kind)
    .then((size): Proof => (size === undefined ? unproven() : { candidates: [], size }))
  try {
    return await Promise.any([byPeers, byRegistry])
  } catch {
    signal.throwIfAborted()
    return undefined
  } finally {
    settled.abort()
  }
}

function unproven(): never {
  throw new Error('nobody says that it is there')
}
