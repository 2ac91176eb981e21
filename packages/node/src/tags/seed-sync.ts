import { setTimeout as sleep } from 'node:timers/promises'
import type { ListAnswer, TagClient } from '@layermesh/mesh'
import { isOciError, parseRepository, parseTag, type Repository, type Tag } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'
import type { TagRecords } from './tag-records.ts'

export interface SeedSyncComponents {
  readonly peerId: string
  readonly trust: Pick<TrustPolicy, 'signers' | 'maySign'>
  readonly client: Pick<TagClient, 'listRepositories' | 'listTags' | 'resolve'>
  readonly records: Pick<TagRecords, 'get' | 'take'>
  connected(): string[]
}

export interface SeedSyncOptions {
  /** Rest after each tag that was asked for, in ms: nobody is to take it for a flood. @default 10 */
  readonly pauseMs: number
}

const DEFAULTS: SeedSyncOptions = Object.freeze({ pauseMs: 10 })
const PAGE = 1_000
/** Names taken of one list: far more than there are, so that a peer can not have this node walk for ever. */
const MAX_NAMES = 1_000_000

/**
 * Learns the tags that other seeds signed and this one never heard of, for the repositories that both may sign for: a seed
 * that is new, or was away for long, has to know them before it can sign them anew.
 */
export class SeedSync {
  readonly #components: SeedSyncComponents

  readonly #options: SeedSyncOptions

  constructor(components: SeedSyncComponents, options: Partial<SeedSyncOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Goes through the lists of all seeds that are connected; one that fails in the middle is left for the next time. */
  async run(signal: AbortSignal): Promise<void> {
    const { trust, peerId, connected } = this.#components
    const here = new Set(connected())
    for (const seed of trust.signers()) {
      if (seed === peerId || !here.has(seed)) continue
      try {
        await this.learnFrom(seed, signal)
      } catch {
        signal.throwIfAborted()
      }
    }
  }

  private async learnFrom(seed: string, signal: AbortSignal): Promise<void> {
    const { client, trust, peerId, records } = this.#components
    const repositories = pages((page) => client.listRepositories(seed, page, signal), parseRepository)
    for await (const repository of repositories) {
      if (!trust.maySign(peerId, repository) || !trust.maySign(seed, repository)) continue
      for await (const tag of pages((page) => client.listTags(seed, repository, page, signal), parseTag)) {
        if (!(await records.get(repository, tag))) await this.learn(seed, repository, tag, signal)
      }
    }
  }

  private async learn(seed: string, repository: Repository, tag: Tag, signal: AbortSignal): Promise<void> {
    const { client, records } = this.#components
    const { envelope, confirmedAt } = await client.resolve(seed, repository, tag, signal)
    if (envelope) await records.take(envelope, seed, 'authority', { repository, tag }, confirmedAt)
    await sleep(this.#options.pauseMs, undefined, { signal })
  }
}

/** The names of a paged list; those that are none are passed over. */
async function* pages<Name extends string>(
  list: (page: { after?: string; limit: number }) => Promise<ListAnswer>,
  parse: (text: string) => Name
): AsyncGenerator<Name> {
  let after: string | undefined
  for (let count = 0; count < MAX_NAMES; ) {
    const { names = [] } = await list({ limit: PAGE, ...(after !== undefined && { after }) })
    for (const text of names) {
      const name = readName(text, parse)
      if (name !== undefined) yield name
    }
    const last = names.at(-1)
    if (last === undefined || names.length < PAGE || (after !== undefined && last <= after)) return
    after = last
    count += names.length
  }
}

function readName<Name extends string>(text: string, parse: (text: string) => Name): Name | undefined {
  try {
    return parse(text)
  } catch (error) {
    if (isOciError(error)) return undefined
    throw error
  }
}
