import type { ContentStore } from '@layermesh/content'
import { type Digest, isOciError, type Repository, type Tag } from '@layermesh/oci'
import type { Caller } from '@layermesh/registry'
import type { Deletions } from '../backend/deletions.ts'
import type { Logger } from '../log.ts'
import type { NodeEvents } from '../node-events.ts'
import type { ImmutableTags } from '../tags/immutable-tags.ts'
import type { TagAuthority } from '../tags/tag-authority.ts'
import { readRepository } from './repository-contents.ts'
import type { RetentionRules } from './retention-rules.ts'
import { findUnneeded, subjectOfTag } from './untagged.ts'

export interface RetentionComponents {
  readonly peerId: string
  readonly content: ContentStore
  readonly authority: TagAuthority
  readonly deletions: Pick<Deletions, 'untagged'>
  readonly immutable: Pick<ImmutableTags, 'covers'>
  readonly rules: RetentionRules
  readonly events: Pick<NodeEvents, 'manifestExpired'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** In ms since 1970. */
  now(): number
}

export interface RetentionOptions {
  /** How often it runs, in ms; 0 for only when asked. */
  readonly everyMs: number
  /** The first run is so long after the start, or sooner when it runs more often, in ms. @default 600 000 */
  readonly firstMs?: number
}

export interface RemovedTag {
  readonly repository: Repository
  readonly tag: Tag
  readonly digest: Digest
}

export interface RemovedManifest {
  readonly repository: Repository
  readonly digest: Digest
}

/** Something that was left although the rules say otherwise, and why. */
export interface Spared {
  readonly reference: string
  readonly reason: string
}

/** What came of a run; of a dry run, what would. */
export interface RetentionReport {
  /** False when it ended before all repositories were looked at. */
  readonly complete: boolean
  readonly repositories: number
  readonly tags: readonly RemovedTag[]
  readonly manifests: readonly RemovedManifest[]
  readonly spared: readonly Spared[]
}

/** As whom tags and manifests are removed. */
const RETENTION: Caller = Object.freeze({ name: 'retention', credential: undefined, may: () => true })
const FIRST_MS = 600_000
const PAGE = 100

type Findings = {
  -readonly [Key in keyof RetentionReport]: RetentionReport[Key] extends readonly (infer Item)[]
    ? Item[]
    : RetentionReport[Key]
}

/**
 * Removes tags of this seed's repositories that the rules do not keep, and manifests that nothing needs. Only tags whose
 * newest record this seed signed: of several seeds, one judges each tag. Blobs are left to the garbage collection.
 */
export class Retention {
  readonly #components: RetentionComponents
  readonly #options: RetentionOptions
  readonly #stopped = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(components: RetentionComponents, options: RetentionOptions) {
    this.#components = components
    this.#options = options
  }

  start(): void {
    const { everyMs, firstMs = FIRST_MS } = this.#options
    if (everyMs > 0) this.#schedule(Math.min(everyMs, firstMs))
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stopped.abort()
    await this.#running
  }

  /** Runs once those that run have ended. What was removed until `signal` ends stays so. */
  run({ dryRun, signal }: { dryRun: boolean; signal: AbortSignal }): Promise<RetentionReport> {
    const run = this.#running.then(() => this.#run(dryRun, AbortSignal.any([signal, this.#stopped.signal])))
    this.#running = run.catch(() => {})
    return run
  }

  #schedule(afterMs: number): void {
    this.#timer = setTimeout(async () => {
      await this.run({ dryRun: false, signal: this.#stopped.signal }).catch((error: unknown) =>
        this.#components.log.warn({ err: error }, 'retention failed; trying again later')
      )
      if (!this.#stopped.signal.aborted) this.#schedule(this.#options.everyMs)
    }, afterMs).unref()
  }

  async #run(dryRun: boolean, signal: AbortSignal): Promise<RetentionReport> {
    const findings: Findings = { complete: false, repositories: 0, tags: [], manifests: [], spared: [] }
    try {
      for await (const repository of this.#repositories()) {
        signal.throwIfAborted()
        findings.repositories++
        await this.#tags(repository, findings, dryRun, signal)
        await this.#untagged(repository, findings, dryRun, signal)
      }
      findings.complete = true
    } catch (error) {
      if (!signal.aborted) throw error
    }
    const { tags, manifests, spared } = findings
    const removed = { tags: tags.length, manifests: manifests.length, spared: spared.length }
    if (!dryRun && tags.length + manifests.length > 0) this.#components.log.info(removed, 'removed by retention rules')
    return findings
  }

  /** Those of this seed that a rule is about. */
  async *#repositories(): AsyncGenerator<Repository> {
    const { content, authority } = this.#components
    let after: Repository | undefined
    do {
      const page: Repository[] = await content.repositories.list({ limit: PAGE, ...(after && { after }) })
      yield* page.filter(
        (repository) => this.#components.rules.concern(repository) && authority.isAuthority(repository)
      )
      after = page.length < PAGE ? undefined : page.at(-1)
    } while (after !== undefined)
  }

  async #tags(repository: Repository, findings: Findings, dryRun: boolean, signal: AbortSignal): Promise<void> {
    const { content, peerId, immutable, now } = this.#components
    const { tags } = await readRepository(content, repository, signal)
    const own = tags.filter(({ tag }) => subjectOfTag(tag) === undefined)
    for (const { tag, digest, signer } of this.#components.rules.expired(repository, own, now())) {
      if (signer !== peerId || immutable.covers(repository, tag)) continue
      signal.throwIfAborted()
      await this.#removeTag({ repository, tag, digest }, findings, dryRun)
    }
  }

  async #removeTag(removed: RemovedTag, findings: Findings, dryRun: boolean): Promise<void> {
    const { authority, peerId } = this.#components
    const { repository, tag, digest } = removed
    try {
      // It stays when it means something else by now.
      const gone = dryRun || (await authority.remove(repository, tag, { caller: RETENTION, node: peerId }, digest))
      if (gone) findings.tags.push(removed)
    } catch (error) {
      if (!isOciError(error)) throw error
      findings.spared.push({ reference: `${repository}:${tag}`, reason: error.message })
    }
  }

  /** Looked at once without holding up pushes; only if there is something to remove, once more while none goes on. */
  async #untagged(repository: Repository, findings: Findings, dryRun: boolean, signal: AbortSignal): Promise<void> {
    const { deletions, events, immutable, peerId } = this.#components
    const found = await this.#unneeded(repository, findings, signal)
    for (const { tag, digest, signer } of found.tags) {
      if (signer === peerId && !immutable.covers(repository, tag)) {
        await this.#removeTag({ repository, tag, digest }, findings, dryRun)
      }
    }
    if (found.manifests.length === 0) return
    const gone = dryRun
      ? found.manifests
      : await deletions.untagged(repository, async () => (await this.#unneeded(repository, findings, signal)).manifests)
    for (const digest of gone) {
      findings.manifests.push({ repository, digest })
      if (!dryRun) await events.manifestExpired(repository, digest)
    }
  }

  async #unneeded(repository: Repository, { spared }: Findings, signal: AbortSignal) {
    const afterMs = this.#components.rules.untaggedAfterMs(repository)
    if (afterMs === undefined) return { manifests: [], tags: [] }
    const contents = await readRepository(this.#components.content, repository, signal)
    if (contents.unknown === undefined) return findUnneeded(contents, afterMs, this.#components.now())
    const reason = `${contents.unknown} is not here, so what it needs is not known; all manifests stay`
    spared.push({ reference: repository, reason })
    return { manifests: [], tags: [] }
  }
}
