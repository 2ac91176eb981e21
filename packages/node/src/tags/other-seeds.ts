import type { TagClient } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'
import type { TagRecords } from './tag-records.ts'

export interface OtherSeedsComponents {
  readonly peerId: string
  readonly trust: Pick<TrustPolicy, 'signersFor'>
  readonly client: Pick<TagClient, 'resolve'>
  readonly records: Pick<TagRecords, 'take'>
  connected(): string[]
}

/** They have so long to answer; a change does not wait for one that is slow. */
const DEADLINE_MS = 1_000

/** The other seeds that may sign for the same repositories as this one. */
export class OtherSeeds {
  readonly #components: OtherSeedsComponents

  constructor(components: OtherSeedsComponents) {
    this.#components = components
  }

  /** Whether this peer is one of them for the repository. */
  include(peerId: string, repository: Repository): boolean {
    return this.signersFor(repository).includes(peerId)
  }

  /** Whether this node is the only one that may sign for the repository, so that what it does not know is not there. */
  areNone(repository: Repository): boolean {
    return this.signersFor(repository).length === 0
  }

  /** Takes in what those that are connected know of a tag, as far as they answer in time. */
  async ask(repository: Repository, tag: Tag): Promise<void> {
    const { client, records, connected } = this.#components
    const here = new Set(connected())
    const deadline = AbortSignal.timeout(DEADLINE_MS)
    const asked = this.signersFor(repository).filter((peerId) => here.has(peerId))
    await Promise.all(
      asked.map(async (seed) => {
        const answer = await client.resolve(seed, repository, tag, deadline).catch(() => undefined)
        if (answer?.envelope) await records.take(answer.envelope, seed, 'authority', { repository, tag })
      })
    )
  }

  private signersFor(repository: Repository): string[] {
    const { trust, peerId } = this.#components
    return trust.signersFor(repository).filter((signer) => signer !== peerId)
  }
}
