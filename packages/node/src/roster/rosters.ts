import { type ApiKey, openRoster, type Roster } from '@layermesh/trust'
import type { NoticeKind } from '../notices/notice-board.ts'

export const ROSTER_KIND = 'roster'

export interface RostersComponents {
  /** Whether a peer is trusted to sign for any repository. */
  isSigner(peerId: string): boolean
  /** Milliseconds since 1970. */
  now(): number
}

/** An API key and the seed that gave it out. */
export interface KnownKey {
  readonly key: ApiKey
  readonly signer: string
}

interface Indexed {
  readonly roster: Roster
  readonly peers: ReadonlySet<string>
  readonly tickets: ReadonlySet<string>
  readonly revokedKeys: ReadonlySet<string>
  readonly keys: ReadonlyMap<string, ApiKey>
}

/** What the rosters of all trusted seeds say together: who is revoked, and which API keys there are. */
export class Rosters {
  /** How a notice board reads rosters. */
  readonly kind: NoticeKind
  readonly #components: RostersComponents
  readonly #bySigner = new Map<string, Indexed>()

  constructor(components: RostersComponents) {
    this.#components = components
    this.kind = {
      kind: ROSTER_KIND,
      maySign: (signer) => components.isSigner(signer),
      read: async (envelope) => {
        const { roster, signer } = await openRoster(envelope, components.isSigner)
        const { sequence, issuedAt } = roster
        return { signer, sequence, issuedAt, apply: () => this.#apply(signer, roster) }
      }
    }
  }

  /**
   * Whether a peer is kept out. Who is trusted to sign is not: else a stolen seed could cut off those who would tell
   * that it is trusted no more.
   */
  isRevokedPeer(peerId: string): boolean {
    return !this.#components.isSigner(peerId) && this.#counting().some(({ peers }) => peers.has(peerId))
  }

  isRevokedTicket(id: string): boolean {
    return this.#counting().some(({ tickets }) => tickets.has(id))
  }

  /** The key with this id, unless it was revoked, has expired, or stands in a roster that has. */
  findKey(id: string): KnownKey | undefined {
    const counting = this.#counting()
    if (counting.some(({ revokedKeys }) => revokedKeys.has(id))) return undefined
    const now = this.#components.now()
    for (const { signer, roster, keys } of counting) {
      const key = keys.get(id)
      if (key && now < roster.expiresAt && now < key.expiresAt) return { key, signer }
    }
    return undefined
  }

  /** All keys that count now. */
  keys(): KnownKey[] {
    const ids = new Set(this.#counting().flatMap(({ roster }) => roster.apiKeys.map(({ id }) => id)))
    return [...ids].flatMap((id) => this.findKey(id) ?? [])
  }

  /** The peer ids that are kept out, and by whose rosters. */
  revokedPeers(): { readonly peerId: string; readonly revokedBy: readonly string[] }[] {
    const counting = this.#counting()
    const peerIds = new Set(counting.flatMap(({ roster }) => roster.revokedPeers))
    return [...peerIds].sort().map((peerId) => ({
      peerId,
      revokedBy: counting.filter(({ peers }) => peers.has(peerId)).map(({ signer }) => signer)
    }))
  }

  /** The newest roster of one seed, whether it counts or not. */
  rosterOf(signer: string): Roster | undefined {
    return this.#bySigner.get(signer)?.roster
  }

  #counting(): (Indexed & { readonly signer: string })[] {
    return [...this.#bySigner]
      .filter(([signer]) => this.#components.isSigner(signer))
      .map(([signer, indexed]) => ({ signer, ...indexed }))
  }

  #apply(signer: string, roster: Roster): void {
    this.#bySigner.set(signer, {
      roster,
      peers: new Set(roster.revokedPeers),
      tickets: new Set(roster.revokedTickets),
      revokedKeys: new Set(roster.revokedKeys),
      keys: new Map(roster.apiKeys.map((key) => [key.id, key]))
    })
  }
}
