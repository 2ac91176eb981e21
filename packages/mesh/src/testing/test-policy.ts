import type { MembershipPolicy, TicketHold } from '../interfaces.ts'

/** A membership policy that a test can change as it likes. A ticket is the JSON of a {@link TestTicket}. */
export class TestPolicy implements MembershipPolicy {
  readonly admission: MembershipPolicy['admission']
  /** Secrets, by the byte that fills them. */
  secretBytes: readonly number[]
  ownTicket: Uint8Array | undefined
  readonly signers = new Set<string>()
  readonly revokedPeers = new Set<string>()
  readonly revokedTickets = new Set<string>()
  readonly #listeners = new Set<() => void>()

  constructor(admission: MembershipPolicy['admission'], secretBytes: readonly number[] = [], ticket?: Uint8Array) {
    this.admission = admission
    this.secretBytes = secretBytes
    this.ownTicket = ticket
  }

  /** Tells of a change. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  secrets(): readonly Uint8Array[] {
    return this.secretBytes.map((byte) => new Uint8Array(32).fill(byte))
  }

  ticket(): Uint8Array | undefined {
    return this.ownTicket
  }

  async checkTicket(bytes: Uint8Array, peerId: string): Promise<TicketHold> {
    const ticket = JSON.parse(Buffer.from(bytes).toString()) as TicketHold & { peerId: string }
    if (ticket.peerId !== peerId) throw new Error(`the ticket is for ${ticket.peerId}`)
    if (!this.holds(ticket)) throw new Error('the ticket counts no more')
    return ticket
  }

  holds({ id, expiresAt }: TicketHold): boolean {
    return Date.now() < expiresAt && !this.revokedTickets.has(id)
  }

  needsNoTicket(peerId: string): boolean {
    return this.signers.has(peerId)
  }

  isRevoked(peerId: string): boolean {
    return this.revokedPeers.has(peerId)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** A ticket as {@link TestPolicy} reads it. */
export function testTicket(peerId: string, { id = 't1', expiresAt = Date.now() + 3_600_000 } = {}): Uint8Array {
  return Buffer.from(JSON.stringify({ id, signer: 'seed', expiresAt, peerId }))
}
