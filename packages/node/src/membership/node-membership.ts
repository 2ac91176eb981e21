import type { MembershipPolicy, TicketHold } from '@layermesh/mesh'
import { checkAdmission, openTicket, TrustError } from '@layermesh/trust'
import { readClusterSecrets } from '../config/secret.ts'
import { type OwnTicket, readOwnTicket } from '../config/ticket-file.ts'
import type { Logger } from '../log.ts'
import { WatchedFile } from './watched-file.ts'

export interface NodeMembershipComponents {
  /** Of this node. */
  readonly peerId: string
  readonly rosters: { isRevokedPeer(peerId: string): boolean; isRevokedTicket(id: string): boolean }
  readonly trust: { isSigner(peerId: string): boolean; isRevoked(peerId: string): boolean }
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

const HOUR_MS = 60 * 60_000
const SOON_MS = 3 * 24 * HOUR_MS

/** Who may be in the mesh, by this node's files and the rosters of the seeds that it trusts. */
export class NodeMembership implements MembershipPolicy {
  readonly admission: MembershipPolicy['admission']
  readonly #components: NodeMembershipComponents
  readonly #listeners = new Set<() => void>()
  readonly #unsubscribe: () => void
  #secrets: WatchedFile<readonly Uint8Array[]> | undefined
  #ticket: WatchedFile<OwnTicket> | undefined
  #reminder: NodeJS.Timeout | undefined

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
      const read = () => readOwnTicket(ticketFile, components.peerId)
      const isSame = (one: OwnTicket, other: OwnTicket) => isSameBytes(one.envelope, other.envelope)
      membership.#ticket = await WatchedFile.open({ what: 'admission ticket', read, isSame, ...shared })
      membership.#remindOfExpiry()
      membership.#reminder = setInterval(() => membership.#remindOfExpiry(), HOUR_MS).unref()
    }
    membership.#secrets?.start()
    membership.#ticket?.start()
    return membership
  }

  stop(): void {
    clearInterval(this.#reminder)
    this.#secrets?.stop()
    this.#ticket?.stop()
    this.#unsubscribe()
  }

  secrets(): readonly Uint8Array[] {
    return this.#secrets?.value ?? []
  }

  ticket(): Uint8Array | undefined {
    return this.#ticket?.value.envelope
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
    return this.#components.trust.isSigner(peerId)
  }

  isRevoked(peerId: string): boolean {
    const { trust, rosters } = this.#components
    return trust.isRevoked(peerId) || rosters.isRevokedPeer(peerId)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Nobody else would tell before other nodes end its connections. */
  #remindOfExpiry(): void {
    const { log, now } = this.#components
    const expiresAt = this.#ticket?.value.ticket.expiresAt ?? Number.POSITIVE_INFINITY
    if (expiresAt - now() > SOON_MS) return
    const said = expiresAt <= now() ? 'has expired' : 'expires soon'
    log.warn({ expiresAt: new Date(expiresAt).toISOString() }, `the admission ticket of this node ${said}`)
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

function isSameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

function isSameList(one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean {
  return (
    one.length === other.length && one.every((bytes, index) => isSameBytes(bytes, other[index] ?? new Uint8Array()))
  )
}
