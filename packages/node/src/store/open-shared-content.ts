import type { ContentStore } from '@layermesh/content'
import type { Mesh } from '@layermesh/mesh'
import type { Logger } from '../log.ts'
import type { SharedContentWatch } from './shared-content.ts'

/** Follows containerd's store if one was named; not started. Loaded only then. */
export async function openSharedContent({
  content,
  mesh,
  log
}: {
  readonly content: ContentStore
  readonly mesh: Mesh
  readonly log: Logger
}): Promise<SharedContentWatch | undefined> {
  if (content.shared === undefined) return undefined
  const { SharedContentWatch: Watch } = await import('./shared-content.ts')
  return new Watch({
    shared: content.shared,
    isHere: async (digest) => (await content.blobs.stat(digest)) !== undefined,
    announce: (digest) => mesh.announce(digest),
    withdraw: (digest) => mesh.withdraw(digest),
    log
  })
}
