import { readFile } from 'node:fs/promises'
import { isTrustError, openTicket, parseTicket, type Ticket } from '@layermesh/trust'
import { ConfigError } from './errors.ts'

const anySigner = () => true

/** A ticket as it is shown, and what it says. */
export interface OwnTicket {
  readonly envelope: Uint8Array
  readonly ticket: Ticket
}

/**
 * Reads an admission ticket from its file; whether it counts, and how long, is for those to judge to whom it is shown.
 * @throws {ConfigError} TICKET_UNUSABLE
 */
export async function readTicketFile(path: string): Promise<OwnTicket> {
  try {
    const envelope = parseTicket(await readFile(path, 'utf8'))
    const { ticket } = await openTicket(envelope, anySigner)
    return { envelope, ticket }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    const reason = isTrustError(cause) ? `holds no ticket (${cause.message})` : `can not be read (${code})`
    throw unusable(path, reason, cause)
  }
}

/** Reads the ticket of this very node. @throws {ConfigError} TICKET_UNUSABLE */
export async function readOwnTicket(path: string, peerId: string): Promise<OwnTicket> {
  const own = await readTicketFile(path)
  if (own.ticket.peerId === peerId) return own
  throw unusable(path, `is for ${own.ticket.peerId}, and this node is ${peerId}`)
}

function unusable(path: string, reason: string, cause?: unknown): ConfigError {
  const hint = 'have a seed make one with: layermesh ticket new --peer PEER_ID --out FILE'
  return new ConfigError('TICKET_UNUSABLE', `the ticket file ${path} ${reason}; ${hint}`, {
    key: 'mesh.ticketFile',
    cause
  })
}
