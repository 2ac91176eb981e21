import type { PrivateKey } from '@libp2p/interface'
import { TrustError } from './errors.ts'
import { DEFAULT_FRESHNESS } from './freshness.ts'
import { numberField, textField } from './payload.ts'
import { formatRecord, openRecord, parseRecord, type RecordForm, sealRecord } from './signed-record.ts'
import { checkId, checkLifetime, checkPeerId } from './statement.ts'

/** A seed's word that a peer may be in the mesh. It is no secret: only who has the peer's key can make use of it. */
export interface Ticket {
  /** 1 to 64 letters and digits; by it the ticket can be revoked. */
  readonly id: string
  /** Whom it admits. */
  readonly peerId: string
  /** In ms since 1970. */
  readonly issuedAt: number
  /** From this moment on it admits nobody. */
  readonly expiresAt: number
}

/** A ticket whose signature holds, and the peer id that signed it. */
export interface OpenedTicket {
  readonly ticket: Ticket
  readonly signer: string
}

/** The longest envelope of a ticket, in bytes. */
export const MAX_TICKET_BYTES = 512

const FORM: RecordForm<Ticket> = {
  domain: 'layermesh-ticket',
  payloadType: '/layermesh/ticket/1',
  maxEnvelopeBytes: MAX_TICKET_BYTES,
  fields: ({ id, peerId, issuedAt, expiresAt }) => ({ id, peerId, issuedAt, expiresAt }),
  read: (fields) => ({
    id: textField(fields, 'id'),
    peerId: textField(fields, 'peerId'),
    issuedAt: numberField(fields, 'issuedAt'),
    expiresAt: numberField(fields, 'expiresAt')
  }),
  check: checkTicket
}

/** Signs a ticket. @throws {TrustError} RECORD_MALFORMED when {@link openTicket} would refuse it */
export function sealTicket(ticket: Ticket, privateKey: PrivateKey): Promise<Uint8Array> {
  return sealRecord(FORM, ticket, privateKey)
}

/**
 * Reads a ticket of a signer who may sign any, and checks its form and signature; not whom it admits, see {@link checkAdmission}.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openTicket(envelope: Uint8Array, maySign: (signer: string) => boolean): Promise<OpenedTicket> {
  const { record: ticket, signer } = await openRecord(FORM, envelope, maySign)
  return { ticket, signer }
}

/**
 * Makes sure that a ticket admits a peer now.
 * @param now in ms since 1970
 * @throws {TrustError} TICKET_REFUSED
 */
export function checkAdmission(ticket: Ticket, peerId: string, now: number): void {
  if (ticket.peerId !== peerId) throw refused(`the ticket is for ${ticket.peerId}`)
  if (now >= ticket.expiresAt) throw refused(`the ticket expired at ${new Date(ticket.expiresAt).toISOString()}`)
  if (ticket.issuedAt > now + DEFAULT_FRESHNESS.clockSkewMs) {
    throw refused(
      `the ticket is of the future; is the clock right? it was issued at ${new Date(ticket.issuedAt).toISOString()}`
    )
  }
}

/** A ticket as it stands in a file: one line of base64url. */
export function formatTicket(envelope: Uint8Array): string {
  return formatRecord(envelope)
}

/** @throws {TrustError} RECORD_MALFORMED */
export function parseTicket(text: string): Uint8Array {
  return parseRecord(FORM, text, 'ticket')
}

function checkTicket(ticket: Ticket): void {
  checkId(ticket.id)
  checkPeerId(ticket.peerId)
  checkLifetime(ticket)
}

function refused(message: string): TrustError {
  return new TrustError('TICKET_REFUSED', message)
}
