import type { NoticeEntry, Notices } from '@layermesh/content'
import type { NoticeBoard, NoticeHead, NoticeOutcome } from '@layermesh/mesh'
import { DEFAULT_FRESHNESS, isTrustError } from '@layermesh/trust'
import PQueue from 'p-queue'

/** What was read of a notice whose signature holds. */
export interface NoticeReading {
  readonly signer: string
  readonly sequence: number
  /** In ms since 1970. */
  readonly issuedAt: number
  /** Makes what it says count; called once it is durable. */
  apply(): void
}

/** What a board must know of one kind of notices. */
export interface NoticeKind {
  readonly kind: string
  /** Whether notices of this signer count now. */
  maySign(signer: string): boolean
  /**
   * @param keptAt when it came here, in ms since 1970
   * @throws {TrustError}
   */
  read(envelope: Uint8Array, keptAt: number): Promise<NoticeReading>
}

export interface SignedNoticeBoardComponents {
  readonly store: Notices
  /** Those that others depend on come first: they are loaded in this order. */
  readonly kinds: readonly NoticeKind[]
  /** Told of each notice that came in. */
  onOutcome(event: { kind: string; from: string; outcome: NoticeOutcome; reason?: string }): void
  /** Milliseconds since 1970. */
  now(): number
}

/** Far more than there can be signers: who may sign is for the operator to say. */
const MAX_NOTICES = 256

/**
 * The notices that this node holds, on disk, and the one door through which any of them comes in: checked first, then
 * kept, then made to count. Of each kind and signer it never goes back to a lower sequence, also not after a restart.
 */
export class SignedNoticeBoard implements NoticeBoard {
  readonly #components: SignedNoticeBoardComponents
  readonly #kinds: ReadonlyMap<string, NoticeKind>
  readonly #heads = new Map<string, NoticeHead>()
  readonly #listeners = new Set<(head: NoticeHead) => void>()
  readonly #signersListeners = new Set<() => void>()
  /** One at a time, so that what counts is what was kept last. */
  readonly #changing = new PQueue({ concurrency: 1 })

  constructor(components: SignedNoticeBoardComponents) {
    this.#components = components
    this.#kinds = new Map(components.kinds.map((kind) => [kind.kind, kind]))
  }

  /** Others may sign than before: makes what is on disk of theirs count, and has the mesh be asked for more. */
  async signersChanged(): Promise<void> {
    await this.load()
    for (const listener of this.#signersListeners) listener()
  }

  /** Makes what is on disk count. */
  async load(): Promise<void> {
    for (const kind of this.#kinds.values()) {
      for await (const entry of this.#components.store.all()) {
        if (entry.kind === kind.kind) await this.#changing.add(() => this.#load(kind, entry))
      }
    }
  }

  heads(): NoticeHead[] {
    return [...this.#heads.values()].filter(({ kind, signer }) => this.#kinds.get(kind)?.maySign(signer))
  }

  async get(kind: string, signer: string): Promise<Uint8Array | undefined> {
    if (!this.#kinds.get(kind)?.maySign(signer)) return undefined
    return (await this.#components.store.get(kind, signer))?.envelope
  }

  wants({ kind, signer, sequence }: NoticeHead): boolean {
    if (!this.#kinds.get(kind)?.maySign(signer)) return false
    const here = this.#heads.get(keyOf(kind, signer))
    return here === undefined ? this.#heads.size < MAX_NOTICES : sequence > here.sequence
  }

  async offer(kind: string, envelope: Uint8Array, from: string, signer?: string): Promise<NoticeOutcome> {
    const result = await this.#changing.add(() => this.#take(kind, envelope, signer))
    this.#components.onOutcome({ kind, from, ...result })
    return result.outcome
  }

  onChange(listener: (head: NoticeHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onSigners(listener: () => void): () => void {
    this.#signersListeners.add(listener)
    return () => this.#signersListeners.delete(listener)
  }

  async #take(
    name: string,
    envelope: Uint8Array,
    asked: string | undefined
  ): Promise<{ outcome: NoticeOutcome; reason?: string }> {
    const kind = this.#kinds.get(name)
    if (!kind) return { outcome: 'refused', reason: 'UNKNOWN_KIND' }
    const keptAt = this.#components.now()
    const reading = await readOrWhy(kind, envelope, keptAt)
    if (typeof reading === 'string') {
      // While the word of the one who was asked for counts, it is another's.
      const refused = reading === 'SIGNER_NOT_TRUSTED' && (asked === undefined || !kind.maySign(asked))
      return { outcome: refused ? 'refused' : 'invalid', reason: reading }
    }
    const { signer, sequence, issuedAt } = reading
    if (asked !== undefined && signer !== asked) return { outcome: 'invalid', reason: 'OTHER_SIGNER' }
    const head = { kind: name, signer, sequence }
    if (!this.wants(head)) return { outcome: 'known' }
    if (issuedAt > keptAt + DEFAULT_FRESHNESS.clockSkewMs) return { outcome: 'refused', reason: 'FUTURE' }
    const { store } = this.#components
    const known =
      (await store.put({ ...head, envelope, keptAt })) === 'known' ? await store.get(name, signer) : undefined
    if (known && known.sequence > sequence) {
      // Kept in another time, when its signer counted as well.
      await this.#load(kind, known)
      return { outcome: 'known' }
    }
    this.#count(name, reading)
    return { outcome: 'new' }
  }

  async #load(kind: NoticeKind, { envelope, keptAt }: NoticeEntry): Promise<void> {
    const reading = await readOrWhy(kind, envelope, keptAt)
    if (typeof reading === 'string') {
      this.#components.onOutcome({ kind: kind.kind, from: 'store', outcome: 'refused', reason: reading })
    } else if (this.wants({ kind: kind.kind, ...reading })) this.#count(kind.kind, reading)
  }

  #count(kind: string, reading: NoticeReading): void {
    const { signer, sequence } = reading
    const head = { kind, signer, sequence }
    this.#heads.set(keyOf(kind, signer), head)
    reading.apply()
    for (const listener of this.#listeners) listener(head)
  }
}

/** What it says; else the code of what is wrong with it. */
async function readOrWhy(kind: NoticeKind, envelope: Uint8Array, keptAt: number): Promise<NoticeReading | string> {
  try {
    return await kind.read(envelope, keptAt)
  } catch (error) {
    if (isTrustError(error)) return error.code
    throw error
  }
}

function keyOf(kind: string, signer: string): string {
  return `${kind} ${signer}`
}
