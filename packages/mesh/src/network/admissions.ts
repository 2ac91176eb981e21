import { timingSafeEqual } from 'node:crypto'
import type { MessageStream, PeerId } from '@libp2p/interface'
import { MeshError } from '../errors.ts'
import type { MembershipPolicy, RefusalReason, TicketHold } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import type { Credentials } from './tls/credentials.ts'
import type { Role } from './tls/handshake.ts'
import { makeProof, proofKey, type Session } from './tls/proof.ts'

const MIN_SECRET_BYTES = 32
/** setTimeout takes no more, and a clock may be set. */
const MAX_SLEEP_MS = 60 * 60_000

export interface AdmissionsComponents {
  readonly policy: MembershipPolicy
  /** Connections at one time. Seeds come in beyond that: nothing goes well without them. */
  readonly maxPeers: number
  /** Whether a peer is shut out for a while. */
  isBanned(peerId: string): boolean
  onRefused(event: { peerId?: string; reason: RefusalReason; detail: string }): void
}

/** By what a peer was let in; in an open mesh by nothing. */
interface Grounds {
  /** The secrets that both know. */
  readonly secrets: readonly Uint8Array[]
  readonly ticket?: TicketHold
}

interface Admitted {
  readonly peerId: string
  /** Undefined until it has shown them. */
  grounds: Grounds | undefined
  /** When it ends because its secret counts no more. */
  lapsing: NodeJS.Timeout | undefined
}

/**
 * Who is let in, and for how long. A connection comes to `enter` when the handshake has proved who the peer is, to
 * `admit` when the peer has shown what it has, and ends when that counts no more or the peer is revoked. Each connection
 * stands for itself: a peer that has a newer ticket shows it on the next one.
 */
export class Admissions {
  readonly #components: AdmissionsComponents
  readonly #connections = new Map<MessageStream, Admitted>()
  readonly #unsubscribe: () => void
  #timer: NodeJS.Timeout | undefined

  /** @throws {MeshError} SECRET_INVALID */
  constructor(components: AdmissionsComponents) {
    this.#components = components
    checkSecrets(components.policy.secrets())
    this.#unsubscribe = components.policy.onChange(() => this.sweep())
  }

  /** Whether whoever comes is a member. */
  get open(): boolean {
    return this.#components.policy.admission === 'open'
  }

  /** The cluster secret by which encryption without credentials lets in; undefined when there is none that would do. */
  firstSecret(): Uint8Array | undefined {
    const { policy } = this.#components
    return policy.admission === 'secret' || policy.admission === 'either' ? policy.secrets()[0] : undefined
  }

  /** Whether a peer is kept out, for a while or for good. */
  isShutOut(peerId: string): boolean {
    return this.#components.isBanned(peerId) || this.#components.policy.isRevoked(peerId)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#unsubscribe()
    for (const { lapsing } of this.#connections.values()) clearTimeout(lapsing)
  }

  /**
   * A peer has proved who it is. From now on its connection ends when it is revoked.
   * @throws {MeshError} NOT_A_MEMBER; PEER_UNREACHABLE when the connection has ended
   */
  enter(connection: MessageStream, peer: PeerId): void {
    const peerId = peer.toString()
    const { policy, isBanned } = this.#components
    if (policy.isRevoked(peerId)) throw this.refusal(peerId, 'revoked', 'is revoked')
    if (isBanned(peerId)) throw this.refusal(peerId, 'banned', 'is banned')
    const others = [...this.#connections.values()].filter((other) => other.peerId === peerId)
    if (others.length >= LIMITS.connectionsPerPeer) {
      throw this.refusal(peerId, 'surplus', `has ${others.length} connections already`)
    }
    // libp2p counts when a connection comes in, which those whose handshakes are under way are not counted by.
    if (this.#connections.size >= this.#components.maxPeers && !policy.needsNoTicket(peerId)) {
      throw this.refusal(peerId, 'surplus', `comes while there are ${this.#connections.size} connections already`)
    }
    // What has ended already would never tell so, and count for ever.
    if (connection.status !== 'open') throw new MeshError('PEER_UNREACHABLE', 'the connection ended', { peerId })
    const admitted: Admitted = { peerId, grounds: undefined, lapsing: undefined }
    this.#connections.set(connection, admitted)
    connection.addEventListener('close', () => {
      clearTimeout(admitted.lapsing)
      this.#connections.delete(connection)
    })
  }

  /** What this node shows in a session. */
  credentials(role: Role, session: Session): Credentials {
    const { policy } = this.#components
    const proofs = policy.secrets().map((secret) => makeProof(proofKey(secret), role, session))
    const ticket = policy.ticket()
    return { proofs, ...(ticket === undefined ? {} : { ticket }) }
  }

  /** Lets a peer in by what it showed. @throws {MeshError} NOT_A_MEMBER */
  async admit(connection: MessageStream, shown: Credentials, role: Role, session: Session): Promise<void> {
    const { policy } = this.#components
    const peerId = session[role].toString()
    const secrets = policy.secrets().filter((secret) => proves(shown, makeProof(proofKey(secret), role, session)))
    const signer = policy.needsNoTicket(peerId)
    const bySecret = policy.admission !== 'ticket' && secrets.length > 0
    const wanted = policy.admission !== 'secret' && !signer && !bySecret
    const ticket = wanted ? await this.ticketOf(peerId, shown) : undefined
    this.settle(connection, peerId, { secrets, ...(ticket === undefined ? {} : { ticket }) })
  }

  /** Lets a peer in that could only come this far because it knows a secret; in an open mesh without. */
  admitBySecret(connection: MessageStream, peer: PeerId, secret: Uint8Array | undefined): void {
    this.settle(connection, peer.toString(), { secrets: secret === undefined ? [] : [secret] })
  }

  /** Counts a peer that is not let in. @returns what to throw */
  refusal(peerId: string, reason: RefusalReason, detail: string, cause?: unknown): MeshError {
    this.#components.onRefused({ peerId, reason, detail })
    return new MeshError('NOT_A_MEMBER', `the peer ${peerId} ${detail}`, { peerId, cause })
  }

  /** Counts a handshake that failed before anybody had proved anything. */
  failed(error: Error): void {
    this.#components.onRefused({ reason: 'handshake', detail: error.message })
  }

  /** Ends what may not go on. */
  sweep(): void {
    for (const [connection, admitted] of this.#connections) {
      const { peerId, grounds } = admitted
      if (this.#components.policy.isRevoked(peerId)) {
        connection.abort(this.refusal(peerId, 'revoked', 'was revoked'))
      } else if (grounds && !this.counts(peerId, grounds)) this.lapse(connection, admitted, grounds)
    }
    this.schedule()
  }

  private settle(connection: MessageStream, peerId: string, grounds: Grounds): void {
    if (!this.counts(peerId, grounds)) throw this.refusal(peerId, 'not-a-member', this.whyNot())
    const admitted = this.#connections.get(connection)
    // Closed meanwhile: nothing is left to be let in.
    if (!admitted) return
    admitted.grounds = grounds
    this.schedule()
  }

  private whyNot(): string {
    return this.#components.policy.admission === 'ticket' ? 'showed no ticket' : 'has another cluster secret'
  }

  private async ticketOf(peerId: string, { ticket }: Credentials): Promise<TicketHold | undefined> {
    if (ticket === undefined) return undefined
    try {
      return await this.#components.policy.checkTicket(ticket, peerId)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw this.refusal(peerId, 'not-a-member', `can not come in: ${reason}`, cause)
    }
  }

  private counts(peerId: string, { secrets, ticket }: Grounds): boolean {
    const { policy } = this.#components
    if (policy.admission === 'open') return true
    const current = policy.secrets()
    const bySecret = secrets.some((secret) => current.some((one) => equal(one, secret)))
    const byTicket = policy.needsNoTicket(peerId) || (ticket !== undefined && policy.holds(ticket))
    if (policy.admission === 'secret') return bySecret
    return byTicket || (policy.admission === 'either' && bySecret)
  }

  /** A ticket ends at once, and so does a seed that is none any more; a secret that was taken out of use ends for many at the same moment, who come again. */
  private lapse(connection: MessageStream, admitted: Admitted, { ticket }: Grounds): void {
    const end = () => {
      const { grounds, peerId } = admitted
      admitted.lapsing = undefined
      if (grounds && !this.counts(peerId, grounds)) {
        connection.abort(this.refusal(peerId, 'lapsed', 'was let in by what counts no more'))
      }
    }
    if (ticket || this.#components.policy.admission === 'ticket') return end()
    admitted.lapsing ??= setTimeout(end, Math.random() * LIMITS.lapseSpreadMs).unref()
  }

  /** Wakes up when the next ticket expires. */
  private schedule(): void {
    clearTimeout(this.#timer)
    const ends = [...this.#connections.values()].flatMap(({ grounds }) => grounds?.ticket?.expiresAt ?? [])
    if (ends.length === 0) return
    const inMs = Math.min(...ends) - Date.now()
    this.#timer = setTimeout(() => this.sweep(), Math.min(Math.max(inMs, 0), MAX_SLEEP_MS)).unref()
  }
}

/** @throws {MeshError} SECRET_INVALID */
function checkSecrets(secrets: readonly Uint8Array[]): void {
  if (secrets.length > LIMITS.secrets) {
    throw new MeshError(
      'SECRET_INVALID',
      `there are ${secrets.length} cluster secrets, at most ${LIMITS.secrets} may count`
    )
  }
  for (const { byteLength } of secrets) {
    if (byteLength >= MIN_SECRET_BYTES) continue
    throw new MeshError(
      'SECRET_INVALID',
      `the cluster secret has ${byteLength} bytes, at least ${MIN_SECRET_BYTES} are needed; make one with: layermesh secret new`
    )
  }
}

/** All are compared, whichever fits. */
function proves({ proofs }: Credentials, expected: Uint8Array): boolean {
  return proofs.filter((proof) => equal(proof, expected)).length > 0
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}
