import { type ApiKey, isTrustError, MAX_ROSTER_ENTRIES, type Roster, sealRoster } from '@layermesh/trust'
import PQueue from 'p-queue'
import type { SignedNoticeBoard } from '../notices/notice-board.ts'
import { RosterError } from './errors.ts'
import { ROSTER_KIND, type Rosters } from './rosters.ts'

/** Seals with this node's key. */
type PrivateKey = Parameters<typeof sealRoster>[1]

export interface RosterAuthorityComponents {
  readonly peerId: string
  readonly privateKey: PrivateKey
  readonly board: Pick<SignedNoticeBoard, 'offer'>
  readonly rosters: Rosters
  isSigner(peerId: string): boolean
  onRenewalFailed(error: unknown): void
  /** Milliseconds since 1970. */
  now(): number
}

export interface RosterAuthorityOptions {
  /** How long a roster holds, in ms. @default 30 days */
  readonly validityMs: number
  /** One older than this is signed anew, in ms. @default 6 hours */
  readonly renewAfterMs: number
  /** How often its age is looked at, in ms. @default 1 hour */
  readonly sweepEveryMs: number
}

const HOUR_MS = 60 * 60_000
const DEFAULTS: RosterAuthorityOptions = Object.freeze({
  validityMs: 30 * 24 * HOUR_MS,
  renewAfterMs: 6 * HOUR_MS,
  sweepEveryMs: HOUR_MS
})

type Entries = Pick<Roster, 'revokedPeers' | 'revokedTickets' | 'revokedKeys' | 'apiKeys'>
const NOTHING: Entries = Object.freeze({ revokedPeers: [], revokedTickets: [], revokedKeys: [], apiKeys: [] })

/**
 * Signs the roster of this seed. Its newest roster is all of its state: what a peer brings back that this node signed
 * and then lost counts again. One change is made after the other.
 */
export class RosterAuthority {
  readonly #components: RosterAuthorityComponents
  readonly #options: RosterAuthorityOptions
  readonly #changing = new PQueue({ concurrency: 1 })
  #sweeper: NodeJS.Timeout | undefined

  constructor(components: RosterAuthorityComponents, options: Partial<RosterAuthorityOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  start(): void {
    this.#sweep()
    this.#sweeper = setInterval(() => this.#sweep(), this.#options.sweepEveryMs)
    this.#sweeper.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#sweeper)
    await this.#changing.onIdle()
  }

  /** Keeps a peer out of the mesh, on all nodes. @throws {RosterError} PEER_TRUSTED, ROSTER_FULL, ROSTER_REFUSED */
  revokePeer(peerId: string): Promise<void> {
    return this.#change((entries) => {
      if (this.#components.isSigner(peerId)) {
        throw new RosterError(
          'PEER_TRUSTED',
          `${peerId} is trusted to sign; take it out of \`trust\` or of the seed set first, so that its word counts no more`
        )
      }
      return { ...entries, revokedPeers: add(entries.revokedPeers, peerId) }
    })
  }

  /** Lets a peer in again. @throws {RosterError} NOT_REVOKED, ROSTER_REFUSED */
  restorePeer(peerId: string): Promise<void> {
    return this.#change((entries) => {
      if (entries.revokedPeers.includes(peerId)) {
        return { ...entries, revokedPeers: entries.revokedPeers.filter((other) => other !== peerId) }
      }
      const by = this.#components.rosters.revokedPeers().find((revoked) => revoked.peerId === peerId)?.revokedBy
      const reason =
        by === undefined ? 'it is not revoked' : `it was revoked by ${by.join(', ')}, where it can be restored`
      throw new RosterError('NOT_REVOKED', `${peerId} can not be restored here: ${reason}`)
    })
  }

  /** Has a ticket admit nobody any more, whoever signed it. @throws {RosterError} ROSTER_FULL, ROSTER_REFUSED */
  revokeTicket(id: string): Promise<void> {
    return this.#change((entries) => ({ ...entries, revokedTickets: add(entries.revokedTickets, id) }))
  }

  /** Tells all nodes of an API key. @throws {RosterError} KEY_EXISTS, ROSTER_FULL, ROSTER_REFUSED */
  addKey(key: ApiKey): Promise<void> {
    return this.#change((entries) => {
      if (entries.apiKeys.some(({ id }) => id === key.id)) {
        throw new RosterError('KEY_EXISTS', `there is an API key ${key.id} already`)
      }
      return { ...entries, apiKeys: [...entries.apiKeys, key] }
    })
  }

  /** Has an API key count no more, also one of another seed. @throws {RosterError} KEY_UNKNOWN, ROSTER_FULL, ROSTER_REFUSED */
  revokeKey(id: string): Promise<void> {
    return this.#change((entries) => {
      const others = entries.apiKeys.filter((key) => key.id !== id)
      if (others.length < entries.apiKeys.length) return { ...entries, apiKeys: others }
      if (!this.#components.rosters.findKey(id)) throw new RosterError('KEY_UNKNOWN', `there is no API key ${id}`)
      return { ...entries, revokedKeys: add(entries.revokedKeys, id) }
    })
  }

  #sweep(): void {
    const { peerId, rosters, now, onRenewalFailed } = this.#components
    const roster = rosters.rosterOf(peerId)
    if (!roster || now() - roster.issuedAt < this.#options.renewAfterMs) return
    this.#change((entries) => entries).catch(onRenewalFailed)
  }

  #change(edit: (entries: Entries) => Entries): Promise<void> {
    return this.#changing.add(async () => {
      const { peerId, privateKey, board, rosters, now } = this.#components
      const issuedAt = now()
      const last = rosters.rosterOf(peerId)
      const edited = edit(last ?? NOTHING)
      // A key that has expired says nothing any more.
      const entries = { ...edited, apiKeys: edited.apiKeys.filter(({ expiresAt }) => expiresAt > issuedAt) }
      checkRoom(entries)
      const sequence = (last?.sequence ?? 0) + 1
      const roster = { ...entries, sequence, issuedAt, expiresAt: issuedAt + this.#options.validityMs }
      const outcome = await board.offer(ROSTER_KIND, await seal(roster, privateKey), peerId)
      if (outcome !== 'new') throw notKept(outcome)
    })
  }
}

function add(entries: readonly string[], entry: string): readonly string[] {
  return entries.includes(entry) ? entries : [...entries, entry]
}

function checkRoom(entries: Entries): void {
  for (const list of Object.values(entries)) {
    if (list.length > MAX_ROSTER_ENTRIES) {
      throw new RosterError(
        'ROSTER_FULL',
        `a roster has room for ${MAX_ROSTER_ENTRIES} entries of each kind; remove some, or change the cluster secret`
      )
    }
  }
}

/** @throws {RosterError} ROSTER_FULL when all of it together is too long, though no list is */
async function seal(roster: Roster, privateKey: PrivateKey): Promise<Uint8Array> {
  try {
    return await sealRoster(roster, privateKey)
  } catch (cause) {
    if (!isTrustError(cause, 'RECORD_TOO_LARGE')) throw cause
    const message = 'the roster would be too long; remove API keys with long scopes or other entries first'
    throw new RosterError('ROSTER_FULL', message, { cause })
  }
}

function notKept(outcome: string): RosterError {
  const reason =
    outcome === 'known' ? 'a newer one of this seed came in meanwhile; try again' : 'this node is not trusted to sign'
  return new RosterError('ROSTER_REFUSED', `the roster was not taken: ${reason}`)
}
