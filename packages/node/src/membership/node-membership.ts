import type { MembershipPolicy, TicketHold } from '@layermesh/mesh'
import { checkAdmission, openTicket, TrustError } from '@layermesh/trust'
import { readClusterSecrets } from '../config/secret.ts'
import { readTicketFile } from '../config/ticket-file.ts'
import type { Logger } from '../log.ts'
import { WatchedFile } from './watched-file.ts'

export interface NodeMembershipComponents {
  readonly rosters: { isRevokedPeer(peerId: string): boolean; isRevokedTicket(id: string): boolean }
  readonly trust: { signers(): readonly string[]; isRevoked(peerId: string): boolean }
  /** Told of notices, any of which may change who is trusted or revoked. */
  readonly board: { onChange(listener: () => void): () => void }
  readonly log: Logger
  /** Milliseconds since 1970. */
  now(): number
}

export interface NodeMembershipOptions {
  readonly admission: 'secret' | 'ticket' | 'either'
  readonly secretFile?: string
  readonly ticketFile?: string
  /** How often the files are read, in ms. @default 5 000 */
  readonly filesEveryMs?: number
}

/** Who may be in the mesh, by this node's files and the rosters of the seeds that it trusts. */
export class NodeMembership implements MembershipPolicy {
  readonly admission: MembershipPolicy['admission']
  readonly #components: NodeMembershipComponents
  readonly #listeners = new Set<() => void>()
  readonly #unsubscribe: () => void
  #secrets: WatchedFile<readonly Uint8Array[]> | undefined
  #ticket: WatchedFile<Uint8Array> | undefined

  private constructor(components: NodeMembershipComponents, admission: MembershipPolicy['admission']) {
    this.admission = admission
    this.#components = components
    this.#unsubscribe = components.board.onChange(() => this.#changed())
  }

  /** Reads the files, and again and again until `stop`. @throws {ConfigError} SECRET_UNUSABLE, TICKET_UNUSABLE */
  static async open(components: NodeMembershipComponents, options: NodeMembershipOptions): Promise<NodeMembership> {
    const { admission, secretFile, ticketFile, filesEveryMs } = options
    const open = admission === 'secret' && secretFile === undefined
    const membership = new NodeMembership(components, open ? 'open' : admission)
    const shared = {
      log: components.log,
      onChange: () => membership.#changed(),
      ...(filesEveryMs === undefined ? {} : { everyMs: filesEveryMs })
    }
    if (secretFile !== undefined) {
      const read = () => readClusterSecrets(secretFile)
      membership.#secrets = await WatchedFile.open({ what: 'cluster secrets', read, isSame: isSameList, ...shared })
    }
    if (ticketFile !== undefined) {
      const read = () => readTicketFile(ticketFile)
      membership.#ticket = await WatchedFile.open({ what: 'admission ticket', read, isSame, ...shared })
    }
    membership.#secrets?.start()
    membership.#ticket?.start()
    return membership
  }

  stop(): void {
    this.#secrets?.stop()
    this.#ticket?.stop()
    this.#unsubscribe()
  }

  secrets(): readonly Uint8Array[] {
    return this.#secrets?.value ?? []
  }

  ticket(): Uint8Array | undefined {
    return this.#ticket?.value
  }

  /** @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED, TICKET_REFUSED */
  async checkTicket(envelope: Uint8Array, peerId: string): Promise<TicketHold> {
    const { now } = this.#components
    const { ticket, signer } = await openTicket(envelope, (other) => this.needsNoTicket(other))
    checkAdmission(ticket, peerId, now())
    const hold = { id: ticket.id, signer, expiresAt: ticket.expiresAt }
    if (this.holds(hold)) return hold
    throw new TrustError('TICKET_REFUSED', `the ticket ${ticket.id} was revoked`)
  }

  holds({ id, signer, expiresAt }: TicketHold): boolean {
    const { rosters, now } = this.#components
    return now() < expiresAt && this.needsNoTicket(signer) && !rosters.isRevokedTicket(id)
  }

  /** Whoever is trusted to sign could sign a ticket for itself. */
  needsNoTicket(peerId: string): boolean {
    return this.#components.trust.signers().includes(peerId)
  }

  isRevoked(peerId: string): boolean {
    const { trust, rosters } = this.#components
    return trust.isRevoked(peerId) || rosters.isRevokedPeer(peerId)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

function isSameList(one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean {
  return one.length === other.length && one.every((bytes, index) => isSame(bytes, other[index] ?? new Uint8Array()))
}
