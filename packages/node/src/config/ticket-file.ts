import { readFile } from 'node:fs/promises'
import { isTrustError, openTicket, parseTicket } from '@layermesh/trust'
import { ConfigError } from './errors.ts'

const anySigner = () => true

/**
 * Reads an admission ticket from its file; whom it admits, and how long, is for those to judge to whom it is shown.
 * @throws {ConfigError} TICKET_UNUSABLE
 */
export async function readTicketFile(path: string): Promise<Uint8Array> {
  try {
    const envelope = parseTicket(await readFile(path, 'utf8'))
    await openTicket(envelope, anySigner)
    return envelope
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    const reason = isTrustError(cause) ? `holds no ticket (${cause.message})` : `can not be read (${code})`
    throw new ConfigError(
      'TICKET_UNUSABLE',
      `the ticket file ${path} ${reason}; have a seed make one with: layermesh ticket new --peer PEER_ID --out FILE`,
      { key: 'mesh.ticketFile', cause }
    )
  }
}
