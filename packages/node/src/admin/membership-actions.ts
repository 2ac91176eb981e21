import { isPeerId } from '@layermesh/trust'
import { z } from 'zod'
import { RosterError } from '../roster/errors.ts'
import type { RosterAuthority } from '../roster/roster-authority.ts'
import type { Rosters } from '../roster/rosters.ts'
import type { IssuedTicket, TicketOffice } from '../roster/ticket-office.ts'
import { type AdminAction, adminAction } from './action.ts'

const MINUTE_MS = 60_000
const MAX_VALID_MS = 10 * 365 * 24 * 60 * MINUTE_MS

const peerId = z.string().refine(isPeerId, { error: 'expected a peer id, as `layermesh keys show` prints it' })
const ticketId = z.string().regex(/^[A-Za-z0-9]{1,64}$/, { error: 'expected the id of a ticket' })
const time = z.iso.datetime()

const revokedPeerSchema = z.strictObject({
  peerId: z.string(),
  revokedBy: z.array(z.string()).readonly().describe('Peer ids of the seeds whose rosters say so.')
})
const revocationSchema = z.strictObject({
  peerId: z.string(),
  bySecret: z
    .boolean()
    .describe('Whether a cluster secret lets in: who knows it can come back by another peer id until it is changed.')
})
const ticketSchema = z.strictObject({
  id: z.string(),
  peerId: z.string().describe('Whom it admits.'),
  issuedAt: time,
  expiresAt: time,
  revoked: z.boolean()
})

/** A peer that is kept out of the mesh. */
export type RevokedPeer = z.output<typeof revokedPeerSchema>
/** What revoking a peer did. */
export type PeerRevocation = z.output<typeof revocationSchema>
/** An admission ticket that a seed gave out. */
export type TicketSummary = z.output<typeof ticketSchema>
/** A new ticket. */
export interface NewTicket extends TicketSummary {
  /** What goes into the peer's ticket file. */
  readonly text: string
}

export interface MembershipActionsComponents {
  readonly rosters: Pick<Rosters, 'revokedPeers'>
  /** Whether a cluster secret lets in. */
  readonly bySecret: boolean
  /** Only on a seed. */
  readonly seed: { readonly authority: RosterAuthority; readonly tickets: TicketOffice } | undefined
}

/** Revoking peers, and giving out and revoking tickets. */
export function membershipActions(components: MembershipActionsComponents): AdminAction[] {
  return [...peerActions(components), ...ticketActions(components.seed)]
}

function peerActions({ rosters, bySecret, seed }: MembershipActionsComponents): AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'peers/revoked',
      summary: 'The peers that are kept out of the mesh',
      input: z.strictObject({}),
      output: z.strictObject({ peers: z.array(revokedPeerSchema) }),
      run: async () => ({ peers: rosters.revokedPeers() })
    }),
    adminAction({
      method: 'POST',
      path: 'peers/revoke',
      summary: 'Keeps a peer out of the mesh, on all nodes',
      input: z.strictObject({ peerId }),
      output: revocationSchema,
      run: async (input) => {
        await requireSeed(seed).authority.revokePeer(input.peerId)
        return { ...input, bySecret }
      }
    }),
    adminAction({
      method: 'POST',
      path: 'peers/restore',
      summary: 'Lets a peer in again that this seed revoked',
      input: z.strictObject({ peerId }),
      output: z.strictObject({ peerId: z.string() }),
      run: async (input) => {
        await requireSeed(seed).authority.restorePeer(input.peerId)
        return input
      }
    })
  ]
}

function ticketActions(seed: MembershipActionsComponents['seed']): AdminAction[] {
  return [
    adminAction({
      method: 'GET',
      path: 'tickets',
      summary: 'The admission tickets that this seed gave out and that have not expired',
      input: z.strictObject({}),
      output: z.strictObject({ tickets: z.array(ticketSchema) }),
      run: async () => ({ tickets: (await requireSeed(seed).tickets.list()).map(summaryOf) })
    }),
    adminAction({
      method: 'POST',
      path: 'tickets',
      summary: 'Gives out an admission ticket for a peer',
      input: z.strictObject({ peerId, validMs: z.int().min(MINUTE_MS).max(MAX_VALID_MS) }),
      output: ticketSchema.extend({ text: z.string().describe('What goes into the peer’s ticket file.') }),
      run: async (input) => {
        const { ticket, text } = await requireSeed(seed).tickets.issue(input.peerId, input.validMs)
        return { ...summaryOf({ ...ticket, revoked: false }), text }
      }
    }),
    adminAction({
      method: 'POST',
      path: 'tickets/revoke',
      summary: 'Has a ticket admit nobody any more, on all nodes',
      input: z.strictObject({ id: ticketId }),
      output: z.strictObject({ id: z.string() }),
      run: async (input) => {
        await requireSeed(seed).tickets.revoke(input.id)
        return input
      }
    })
  ]
}

function requireSeed<T>(seed: T | undefined): T {
  if (seed !== undefined) return seed
  throw new RosterError('NOT_A_SEED', 'this node is no seed, and nobody would believe it; ask a seed')
}

function summaryOf({ id, peerId, issuedAt, expiresAt, revoked }: IssuedTicket): TicketSummary {
  return {
    id,
    peerId,
    issuedAt: new Date(issuedAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    revoked
  }
}
