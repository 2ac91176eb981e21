import type { Tags } from '@layermesh/content'
import type { Caller, RepositoryAction } from '@layermesh/registry'
import { type PrivateKey, peerIdOf, TrustPolicy } from '@layermesh/trust'
import { ImmutableTags } from '../tags/immutable-tags.ts'
import { TagAuthority, type TagAuthorityComponents } from '../tags/tag-authority.ts'
import { TagRecords } from '../tags/tag-records.ts'
import { MemoryTags } from './memory-tags.ts'

const HOUR = 3_600_000

/** A client of that name who may do only this, in all repositories. */
export function callerWho(name: string | undefined, ...actions: RepositoryAction[]): Caller {
  return { name, credential: undefined, may: (action) => actions.includes(action) }
}

export interface TestSeed {
  readonly peerId: string
  readonly authority: TagAuthority
  readonly records: TagRecords
  readonly tags: Tags
  readonly published: Uint8Array[]
  readonly refused: string[]
  /** Sequences of records that its key signed elsewhere. */
  readonly foreignUses: number[]
}

/** The part of a seed that signs, over tags in memory. */
export function makeSeed(
  privateKey: PrivateKey,
  components: Partial<TagAuthorityComponents> & {
    tags?: Tags
    trust?: TrustPolicy
    now?: () => number
  } = {}
): TestSeed {
  const peerId = peerIdOf(privateKey)
  const { tags = new MemoryTags(), trust = new TrustPolicy([{ peerId }]), now = Date.now } = components
  const refused: string[] = []
  const foreignUses: number[] = []
  const published: Uint8Array[] = []
  const records = new TagRecords({
    tags,
    trust,
    now,
    peerId,
    isMirrored: (repository) => components.mirroredFrom?.(repository) !== undefined,
    onForeignUse: ({ sequence }) => foreignUses.push(sequence),
    onRefused: ({ reason }) => refused.push(reason),
    keepsHistory: () => true
  })
  const authority = new TagAuthority(
    {
      peerId,
      privateKey,
      records,
      tags,
      trust,
      now,
      immutable: new ImmutableTags([]),
      others: { ask: async () => {} },
      sync: { run: async () => {} },
      publish: (_repository, _tag, envelope) => published.push(envelope),
      onRenewalFailed: (error) => {
        throw error
      },
      ...components
    },
    { validityMs: 720 * HOUR, renewAfterMs: HOUR, sweepEveryMs: HOUR, sweepAfterMs: HOUR, sweepPauseMs: 0 }
  )
  return { peerId, authority, records, tags, published, refused, foreignUses }
}
