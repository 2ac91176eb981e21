import { decode, encode } from 'cborg'
import type { NoticeBoard, NoticeHead, NoticeOutcome } from '../interfaces.ts'

const KIND = 'test'

/** A notice without a signature, for tests that are not about signatures. */
export function notice(head: NoticeHead, text = '', genuine = true): Uint8Array {
  return encode({ ...head, text, genuine })
}

/** A board in memory: it believes what a notice says of itself, when its signer is one of `signers`. */
export class MemoryBoard implements NoticeBoard {
  readonly kept = new Map<string, { head: NoticeHead; envelope: Uint8Array }>()
  /** Peers that sent something, in order. */
  readonly senders: string[] = []
  #signers: readonly string[]
  readonly #listeners = new Set<(head: NoticeHead) => void>()
  readonly #signersListeners = new Set<() => void>()

  constructor(signers: readonly string[] = ['seed']) {
    this.#signers = signers
  }

  believe(signers: readonly string[]): void {
    this.#signers = signers
    for (const listener of this.#signersListeners) listener()
  }

  heads(): NoticeHead[] {
    return [...this.kept.values()].map(({ head }) => head)
  }

  sequenceOf(signer: string): number | undefined {
    return this.kept.get(`${KIND} ${signer}`)?.head.sequence
  }

  async get(kind: string, signer: string): Promise<Uint8Array | undefined> {
    return this.kept.get(`${kind} ${signer}`)?.envelope
  }

  wants({ kind, signer, sequence }: NoticeHead): boolean {
    return kind === KIND && this.#signers.includes(signer) && sequence > (this.sequenceOf(signer) ?? 0)
  }

  async offer(kind: string, envelope: Uint8Array, from: string, signer?: string): Promise<NoticeOutcome> {
    this.senders.push(from)
    const { text: _text, genuine, ...head } = decode(envelope) as NoticeHead & { text: string; genuine: boolean }
    if (!genuine || head.kind !== kind || head.signer !== (signer ?? head.signer)) return 'invalid'
    if (!this.#signers.includes(head.signer)) return 'refused'
    if (!this.wants(head)) return 'known'
    this.kept.set(`${kind} ${head.signer}`, { head, envelope })
    for (const listener of this.#listeners) listener(head)
    return 'new'
  }

  onChange(listener: (head: NoticeHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onSigners(listener: () => void): () => void {
    this.#signersListeners.add(listener)
    return () => this.#signersListeners.delete(listener)
  }
}
