import { createHmac, randomBytes } from 'node:crypto'
import type { Digest, Repository, Tag } from '@layermesh/oci'
import { isUpstreamError, type UpstreamIdentity } from '@layermesh/upstream'
import { LRUCache } from 'lru-cache'
import type { MirroredRepository, Mirrors } from './mirrors.ts'
import type { Remembered } from './remembered.ts'

/** That a registry gave a repository to everybody. */
export interface PublicRepository {
  /** In ms since 1970. */
  readonly seenAt: number
}

/** What a client wants to see in a mirrored repository. */
export interface ClientQuestion {
  readonly repository: Repository
  /** Undefined for lists. */
  readonly content: { readonly manifest: Tag | Digest } | { readonly blob: Digest } | undefined
  /** The header of this name, as it came; undefined when the client sent none, or when it was not meant for a registry. */
  readonly authorization: string | undefined
}

export interface ClientRightsComponents {
  readonly mirrors: Pick<Mirrors, 'find'>
  readonly publicOnes: Pick<Remembered<PublicRepository>, 'get' | 'set' | 'delete'>
  /** Some manifest of a repository, to ask about when a client wants a list. */
  someManifest(repository: Repository): Promise<Digest | undefined>
  /** For how long an earlier answer counts while the registry gives none, in ms. */
  maxStaleMsOf(repository: Repository): number
  readonly log: { debug(fields: object, message: string): void }
  /** Milliseconds since 1970. */
  now(): number
}

export interface ClientRightsOptions {
  readonly allowedMs: number
  readonly refusedMs: number
  /** The registry has so long to answer, in ms. */
  readonly deadlineMs: number
  readonly maxVerdicts: number
}

const DEFAULTS: ClientRightsOptions = Object.freeze({
  allowedMs: 5 * 60_000,
  refusedMs: 30_000,
  deadlineMs: 12_000,
  maxVerdicts: 4_096
})

/**
 * What a registry said: `absent` when it has no such thing, which some say of all that a client may not see; `unknown` when
 * it gave no answer to go by.
 */
type Answer = 'allowed' | 'refused' | 'absent' | 'unknown'

interface Verdict {
  readonly answer: 'allowed' | 'refused'
  readonly at: number
}

const REFUSALS = ['UNAUTHORIZED', 'DENIED'] as const
const HMAC_KEY_BYTES = 32

/**
 * Which clients get what this node may pull by its own credentials: those to whom the registry itself gives the
 * repository, anonymously or by the credential that they sent. Registries grant by repository, so that what a client may
 * see of one it may see of all of it. Credentials are never kept, only a keyed hash of them.
 */
export class ClientRights {
  readonly #components: ClientRightsComponents
  readonly #options: ClientRightsOptions
  readonly #key = randomBytes(HMAC_KEY_BYTES)
  readonly #verdicts: LRUCache<string, Verdict>
  readonly #asking = new Map<string, Promise<Answer>>()

  constructor(components: ClientRightsComponents, options: Partial<ClientRightsOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#verdicts = new LRUCache({ max: this.#options.maxVerdicts })
  }

  /** Whether the client may see it. Never rejects. */
  async admits(question: ClientQuestion): Promise<boolean> {
    const mirrored = this.#components.mirrors.find(question.repository)
    if (!mirrored?.judgesClients) return true
    if (await this.isAllowed(mirrored, question, 'anonymous')) return true
    const { authorization } = question
    return authorization !== undefined && (await this.isAllowed(mirrored, question, { authorization }))
  }

  private async isAllowed(
    mirrored: MirroredRepository,
    question: ClientQuestion,
    as: Exclude<UpstreamIdentity, 'node'>
  ): Promise<boolean> {
    const { maxStaleMsOf, now } = this.#components
    const { allowedMs, refusedMs } = this.#options
    const key = this.keyOf(mirrored.repository, as)
    const before = this.verdict(key, mirrored.repository, as)
    const age = before ? now() - before.at : Number.POSITIVE_INFINITY
    if (before && age < (before.answer === 'allowed' ? allowedMs : refusedMs)) return before.answer === 'allowed'
    const answer = await this.ask(mirrored, question, as, key)
    if (answer === 'absent') return false
    if (answer === 'allowed' || answer === 'refused') {
      this.keep(key, mirrored.repository, as, { answer, at: now() })
      return answer === 'allowed'
    }
    return before?.answer === 'allowed' && age <= maxStaleMsOf(mirrored.repository)
  }

  /** What is public is remembered longer than this process lives: it is to be served with its registry gone. */
  private verdict(key: string, repository: Repository, as: UpstreamIdentity): Verdict | undefined {
    const known = this.#verdicts.get(key)
    if (known || as !== 'anonymous') return known
    const seen = this.#components.publicOnes.get(repository)
    return seen && { answer: 'allowed', at: seen.seenAt }
  }

  private keep(key: string, repository: Repository, as: UpstreamIdentity, verdict: Verdict): void {
    this.#verdicts.set(key, verdict)
    if (as !== 'anonymous') return
    if (verdict.answer === 'allowed') this.#components.publicOnes.set(repository, { seenAt: verdict.at })
    else this.#components.publicOnes.delete(repository)
  }

  private ask(
    mirrored: MirroredRepository,
    question: ClientQuestion,
    as: Exclude<UpstreamIdentity, 'node'>,
    key: string
  ): Promise<Answer> {
    const what = question.content === undefined ? 'list' : Object.values(question.content)[0]
    const askingKey = `${key} ${what}`
    let asking = this.#asking.get(askingKey)
    if (!asking) {
      asking = this.askNow(mirrored, question, as).finally(() => this.#asking.delete(askingKey))
      this.#asking.set(askingKey, asking)
    }
    return asking
  }

  private async askNow(
    { registry, name, repository, host }: MirroredRepository,
    { content }: ClientQuestion,
    as: Exclude<UpstreamIdentity, 'node'>
  ): Promise<Answer> {
    const request = { signal: AbortSignal.timeout(this.#options.deadlineMs), as }
    try {
      const manifest =
        content && 'manifest' in content ? content.manifest : await this.#components.someManifest(repository)
      const found =
        content && 'blob' in content
          ? await registry.headBlob(name, content.blob, request)
          : manifest !== undefined
            ? await registry.headManifest(name, manifest, request)
            : await registry.listTags(name, { limit: 1 }, request)
      return found === undefined ? 'absent' : 'allowed'
    } catch (error) {
      if (REFUSALS.some((code) => isUpstreamError(error, code))) return 'refused'
      this.#components.log.debug({ repository, host, err: error }, 'a registry did not say what a client may pull')
      return 'unknown'
    }
  }

  private keyOf(repository: Repository, as: Exclude<UpstreamIdentity, 'node'>): string {
    const who = as === 'anonymous' ? as : createHmac('sha256', this.#key).update(as.authorization).digest('base64')
    return `${who} ${repository}`
  }
}

/** Tells whether something read from a file says that a repository is public. */
export function isPublicRepository(value: unknown): value is PublicRepository {
  return typeof (value as Partial<PublicRepository> | null)?.seenAt === 'number'
}
