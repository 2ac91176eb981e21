import { writeFile } from 'node:fs/promises'
import type { NewTicket, PeerRevocation, RevokedPeer, TicketSummary } from '@layermesh/node'
import type { Command } from 'commander'
import { type AdminFlags, addAdminFlags, connectForActions } from '../admin-place.ts'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import { formatTable, shortPeer } from '../format.ts'

const BY_SECRET =
  'whoever knows the cluster secret can come in by another peer id; if it may be in wrong hands, change it (`layermesh secret new`)'

/** `peer …` and `ticket …`: who may be in the mesh. */
export function addMembershipCommands(program: Command, context: CommandContext): void {
  addPeerCommands(program.command('peer').description('keep single nodes out of the mesh'), context)
  addTicketCommands(program.command('ticket').description('let single nodes into the mesh, for a time'), context)
}

function addPeerCommands(peer: Command, context: CommandContext): void {
  const revoke = peer
    .command('revoke')
    .description('at a seed: keep a node out, on all nodes at once')
    .argument('<PEER_ID>')
  addAdminFlags(revoke).action(async (peerId: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const result = await client.act<PeerRevocation>('POST', 'peers/revoke', { peerId })
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${peerId} is kept out of the mesh\n`)
    if (result.bySecret) context.err.write(`warning: ${BY_SECRET}\n`)
  })
  const restore = peer
    .command('restore')
    .description('at the seed that revoked it: let a node in again')
    .argument('<PEER_ID>')
  addAdminFlags(restore).action(async (peerId: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const result = await client.act('POST', 'peers/restore', { peerId })
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${peerId} may come in again\n`)
  })
  const list = peer.command('list-revoked').description('the nodes that are kept out')
  addAdminFlags(list).action(async (flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const { peers } = await client.act<{ peers: RevokedPeer[] }>('GET', 'peers/revoked', {})
    context.out.write(flags.json ? `${JSON.stringify(peers, null, 2)}\n` : formatRevoked(peers))
  })
}

function addTicketCommands(ticket: Command, context: CommandContext): void {
  const make = ticket
    .command('new')
    .description('at a seed: give a node a ticket')
    .requiredOption('--peer <PEER_ID>', 'whom it admits, as `layermesh keys show` prints it there')
    .option('--valid <DURATION>', 'how long', '30d')
    .option('--out <FILE>', 'write it to this file, for mesh.ticketFile (default: print it)')
  addAdminFlags(make).action(async (flags: AdminFlags & { peer: string; valid: string; out?: string }) => {
    const validMs = await readDuration(flags.valid)
    const client = await connectForActions(flags, context)
    const made = await client.act<NewTicket>('POST', 'tickets', { peerId: flags.peer, validMs })
    if (flags.out !== undefined) await writeText(flags.out, `${made.text}\n`)
    const said = flags.out === undefined ? made.text : `${flags.out}: ticket ${made.id}, good until ${made.expiresAt}`
    context.out.write(flags.json ? `${JSON.stringify(made)}\n` : `${said}\n`)
  })
  const list = ticket.command('list').description('the tickets that a seed gave out and that have not expired')
  addAdminFlags(list).action(async (flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const { tickets } = await client.act<{ tickets: TicketSummary[] }>('GET', 'tickets', {})
    context.out.write(flags.json ? `${JSON.stringify(tickets, null, 2)}\n` : formatTickets(tickets))
  })
  const revoke = ticket.command('revoke').description('at a seed: have a ticket admit nobody any more').argument('<ID>')
  addAdminFlags(revoke).action(async (id: string, flags: AdminFlags) => {
    const client = await connectForActions(flags, context)
    const result = await client.act('POST', 'tickets/revoke', { id })
    context.out.write(flags.json ? `${JSON.stringify(result)}\n` : `${id} admits nobody any more\n`)
  })
}

function formatRevoked(peers: readonly RevokedPeer[]): string {
  if (peers.length === 0) return 'no node is kept out\n'
  const rows = peers.map(({ peerId, revokedBy }) => [peerId, revokedBy.map(shortPeer).join(', ')])
  return formatTable(['peer', 'revoked by'], rows)
}

function formatTickets(tickets: readonly TicketSummary[]): string {
  if (tickets.length === 0) return 'no ticket is out\n'
  const rows = tickets.map(({ id, peerId, issuedAt, expiresAt, revoked }) => [
    id,
    peerId,
    issuedAt,
    expiresAt,
    revoked ? 'revoked' : 'good'
  ])
  return formatTable(['id', 'peer', 'issued', 'expires', 'state'], rows)
}

async function readDuration(text: string): Promise<number> {
  const { parseDuration } = await import('@layermesh/node')
  const ms = parseDuration(text)
  if (ms) return ms
  throw new CliFailure('USAGE', `--valid: expected a duration such as 12h or 30d, not ${text}`)
}

async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((cause: NodeJS.ErrnoException) => {
    throw new CliFailure('FAILED', `${path} can not be written (${cause.code}); choose another file with --out`, {
      cause
    })
  })
}
