import { isTombstone, type TagRecord } from '@layermesh/trust'
import type { WebhookEvent } from '@layermesh/webhooks'
import type { TagChange } from '../tags/tag-authority.ts'
import type { PassedOnWrite } from '../tags/tag-handler.ts'

/**
 * What receivers are told of a tag that this seed has signed.
 * @param self peer id of this node; `via` is told of others only
 */
export function toTagEvent({ before, record, author }: TagChange, self: string): WebhookEvent {
  const { repository, tag, sequence: tagSequence } = record
  const { name: actor } = author.caller
  const by = { ...(actor === undefined ? {} : { actor }), ...(author.node === self ? {} : { via: author.node }) }
  const previousDigest = before && digestOf(before)
  if (isTombstone(record)) {
    return { name: 'tag.deleted', data: { repository, tag, previousDigest: previousDigest ?? '', tagSequence, ...by } }
  }
  const { digest, mediaType, size } = record
  const data = { repository, tag, digest, mediaType, size, tagSequence, ...by }
  if (previousDigest !== undefined && previousDigest !== digest) {
    return { name: 'tag.moved', data: { ...data, previousDigest } }
  }
  return { name: before && isTombstone(before) ? 'tag.restored' : 'tag.set', data }
}

/** What receivers are told of a push or deletion that a node passed on; nothing of tags, which the seed tells of itself. */
export function toPassedOnEvents({ from: via, actor, write }: PassedOnWrite): WebhookEvent[] {
  const by = { via, ...(actor === undefined ? {} : { actor }) }
  if ('push' in write) {
    const { repository, manifest, tags } = write.push
    const data = { repository, ...manifest, ...by }
    if (tags.length === 0) return [{ name: 'manifest.pushed', data }]
    return tags.map((tag) => ({ name: 'manifest.pushed', data: { ...data, tag } }))
  }
  const { repository, kind, reference: digest } = write.deletion
  if (kind === 'tag') return []
  return [{ name: kind === 'blob' ? 'blob.deleted' : 'manifest.deleted', data: { repository, digest, ...by } }]
}

function digestOf(record: TagRecord): string | undefined {
  return isTombstone(record) ? undefined : record.digest
}
