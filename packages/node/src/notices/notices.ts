import type { Notices } from '@layermesh/content'
import type { PrivateKey } from '@layermesh/trust'
import type { Logger } from '../log.ts'
import type { NodeMetrics } from '../metrics.ts'
import { RosterAuthority } from '../roster/roster-authority.ts'
import { Rosters } from '../roster/rosters.ts'
import { TicketOffice } from '../roster/ticket-office.ts'
import type { SeedSets } from '../seed-set/seed-sets.ts'
import { SignedNoticeBoard } from './notice-board.ts'

export interface NodeNoticesComponents {
  readonly store: Notices
  readonly peerId: string
  readonly privateKey: PrivateKey
  readonly trust: { isSigner(peerId: string): boolean }
  /** Undefined when no root is configured. */
  readonly seedSets: SeedSets | undefined
  readonly metrics: Pick<NodeMetrics, 'notice'>
  readonly log: Logger
}

/** The signed documents that all nodes hold, and what they say. */
export interface NodeNotices {
  readonly board: SignedNoticeBoard
  readonly rosters: Rosters
  /** Only on a seed. */
  readonly rosterAuthority: RosterAuthority | undefined
  /** Only on a seed. */
  readonly tickets: TicketOffice | undefined
}

/** Wires the notices and loads those that are on disk. */
export async function createNotices(
  { store, peerId, privateKey, trust, seedSets, metrics, log }: NodeNoticesComponents,
  { role, dataDir }: { readonly role: 'seed' | 'node'; readonly dataDir: string }
): Promise<NodeNotices> {
  const isSigner = (signer: string) => trust.isSigner(signer)
  const now = Date.now
  const rosters = new Rosters({ isSigner, now })
  const board = new SignedNoticeBoard({
    store,
    kinds: [...(seedSets ? [seedSets.kind] : []), rosters.kind],
    onOutcome: ({ kind, from, outcome, reason }) => {
      metrics.notice(kind, outcome)
      if (outcome === 'refused' || outcome === 'invalid') log.warn({ kind, from, reason }, 'refused a notice')
      else log.debug({ kind, from, outcome }, 'a notice came in')
    },
    now
  })
  await board.load()
  seedSets?.onChange(() => {
    board.signersChanged().catch((error) => log.error({ err: error }, 'the notices on disk could not be read'))
  })
  const rosterAuthority =
    role === 'seed'
      ? new RosterAuthority({
          peerId,
          privateKey,
          board,
          rosters,
          isSigner,
          onRenewalFailed: (error) => log.error({ err: error }, 'the roster could not be signed anew'),
          now
        })
      : undefined
  const tickets = rosterAuthority && new TicketOffice({ dataDir, privateKey, authority: rosterAuthority, rosters, now })
  return { board, rosters, rosterAuthority, tickets }
}
