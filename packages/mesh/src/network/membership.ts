import { createHash } from 'node:crypto'
import type { ConnectionGater, PeerId } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import { proofKey } from './tls/proof.ts'

const MIN_SECRET_BYTES = 32
const PROLOGUE_DOMAIN = 'layermesh membership 1'
const MAX_BANS = 4_096

/** What both sides of a connection must have in common for it to come about, whatever its encryption. */
export interface Membership {
  /** For noise: the prologue of the handshake (Noise Protocol Framework §6). */
  readonly prologue: Uint8Array
  /** For TLS: the keys that a proof behind the handshake is made and checked with; none in an open mesh. */
  readonly proofKeys: readonly Uint8Array[]
}

/**
 * The membership that a cluster secret stands for: peers with another one fail at the handshake, before any protocol
 * answers. The secret must be random: who dials a node can test guesses offline, so short or chosen ones are refused.
 *
 * @param secret undefined for an open mesh
 * @throws {MeshError} SECRET_INVALID
 */
export function membershipOf(secret: Uint8Array | undefined): Membership {
  if (secret !== undefined && secret.byteLength < MIN_SECRET_BYTES) {
    throw new MeshError(
      'SECRET_INVALID',
      `the cluster secret has ${secret.byteLength} bytes, at least ${MIN_SECRET_BYTES} are needed; make one with: layermesh secret new`
    )
  }
  const hash = createHash('sha256').update(PROLOGUE_DOMAIN)
  return {
    prologue: hash.update(secret ?? new Uint8Array()).digest(),
    proofKeys: secret === undefined ? [] : [proofKey(secret)]
  }
}

/** Peers that are shut out for a while. */
export class BanList {
  readonly #until = new Map<string, number>()
  readonly #now: () => number

  /** @param now milliseconds of any clock that never goes back */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Shuts a peer out; a longer ban stays. @returns false when it was banned for at least so long already */
  ban(peerId: string, forMs: number): boolean {
    const until = this.#now() + forMs
    if ((this.#until.get(peerId) ?? 0) >= until) return false
    this.#until.delete(peerId)
    this.#until.set(peerId, until)
    if (this.#until.size > MAX_BANS) this.forgetOldest()
    return true
  }

  has(peerId: string): boolean {
    const until = this.#until.get(peerId)
    if (until === undefined) return false
    if (this.#now() < until) return true
    this.#until.delete(peerId)
    return false
  }

  private forgetOldest(): void {
    const [oldest] = this.#until.keys()
    if (oldest !== undefined) this.#until.delete(oldest)
  }
}

/** Refuses banned peers, in both directions, as soon as their identity is proved. */
export function createGater(bans: BanList): ConnectionGater {
  const banned = (peerId: PeerId) => bans.has(peerId.toString())
  return {
    // libp2p refuses some private addresses by default in browsers; a cluster has few others.
    denyDialMultiaddr: () => false,
    denyDialPeer: banned,
    denyInboundEncryptedConnection: banned,
    denyOutboundEncryptedConnection: banned
  }
}
