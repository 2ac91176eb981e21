import { randomBytes } from 'node:crypto'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { formatTicket, MAX_ROSTER_ENTRIES, type PrivateKey, sealTicket, type Ticket } from '@layermesh/trust'
import PQueue from 'p-queue'
import { RosterError } from './errors.ts'
import type { RosterAuthority } from './roster-authority.ts'

const FILE = 'tickets.json'
const ID_BYTES = 10
const OWNER_ONLY = 0o600

/** A ticket that this seed gave out, and whether it was revoked since. */
export interface IssuedTicket extends Ticket {
  readonly revoked: boolean
}

export interface TicketOfficeComponents {
  readonly dataDir: string
  readonly privateKey: PrivateKey
  readonly authority: Pick<RosterAuthority, 'revokeTicket'>
  readonly rosters: { isRevokedTicket(id: string): boolean }
  /** Milliseconds since 1970. */
  now(): number
}

/**
 * Gives out admission tickets at a seed. It keeps a list of them in `tickets.json` of the data directory, for people to
 * look at; a ticket that is not in it is as good. One that has expired is left out when the next is written.
 */
export class TicketOffice {
  readonly #components: TicketOfficeComponents
  readonly #writing = new PQueue({ concurrency: 1 })

  constructor(components: TicketOfficeComponents) {
    this.#components = components
  }

  /**
   * Signs a ticket for a peer.
   * @returns the ticket, and its text for the peer's file
   * @throws {RosterError} TICKETS_FULL, TICKETS_UNREADABLE
   */
  issue(peerId: string, validMs: number): Promise<{ readonly ticket: Ticket; readonly text: string }> {
    return this.#writing.add(async () => {
      const { privateKey, now } = this.#components
      const issuedAt = now()
      const others = (await this.#read()).filter(({ expiresAt }) => expiresAt > issuedAt)
      if (others.length >= MAX_ROSTER_ENTRIES) {
        throw new RosterError('TICKETS_FULL', `${others.length} tickets are out; wait until some have expired`)
      }
      const id = randomBytes(ID_BYTES).toString('hex')
      const ticket = { id, peerId, issuedAt, expiresAt: issuedAt + validMs }
      const envelope = await sealTicket(ticket, privateKey)
      await this.#write([...others, ticket])
      return { ticket, text: formatTicket(envelope) }
    })
  }

  /** Those that this seed gave out and that have not expired, the oldest first. @throws {RosterError} TICKETS_UNREADABLE */
  async list(): Promise<IssuedTicket[]> {
    const { rosters, now } = this.#components
    const tickets = (await this.#read()).filter(({ expiresAt }) => expiresAt > now())
    return tickets.map((ticket) => ({ ...ticket, revoked: rosters.isRevokedTicket(ticket.id) }))
  }

  /** Has a ticket admit nobody any more, on all nodes. @throws {RosterError} ROSTER_FULL, ROSTER_REFUSED */
  async revoke(id: string): Promise<void> {
    await this.#components.authority.revokeTicket(id)
  }

  async #read(): Promise<Ticket[]> {
    const path = join(this.#components.dataDir, FILE)
    try {
      return JSON.parse(await readFile(path, 'utf8')) as Ticket[]
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw new RosterError('TICKETS_UNREADABLE', `${path} can not be read; move it away to begin a new list`, {
        cause
      })
    }
  }

  /** Whole or not at all. */
  async #write(tickets: readonly Ticket[]): Promise<void> {
    const path = join(this.#components.dataDir, FILE)
    {
      await using file = await open(`${path}.new`, 'w', OWNER_ONLY)
      await file.writeFile(`${JSON.stringify(tickets, null, 1)}\n`)
      await file.sync()
    }
    await rename(`${path}.new`, path)
  }
}
