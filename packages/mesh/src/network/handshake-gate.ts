import type { MultiaddrConnection } from '@libp2p/interface'
import { LIMITS } from '../limits.ts'
import { PeerRate } from './peer-rate.ts'

/** All addresses count together. */
const ALL = ''

/**
 * Bounds the handshakes of strangers: how many begin in a second, and how many of one address are under way, so that one
 * host that opens connections and says nothing leaves room for others. libp2p bounds how many of one address begin in a
 * second, and how many are under way altogether (host.ts).
 */
export class HandshakeGate {
  readonly #pending = new Map<string, number>()
  /** Of those under way. */
  readonly #addresses = new WeakMap<object, string>()
  readonly #rate: PeerRate

  /** @param now in ms, of a clock that never goes back */
  constructor(now: () => number) {
    this.#rate = new PeerRate({ perSecond: LIMITS.handshakesPerSecond, burst: LIMITS.handshakeBurst }, now)
  }

  /** Whether this one may begin; it counts until {@link finished} or until it is closed. */
  mayBegin(connection: MultiaddrConnection): boolean {
    const address = hostOf(connection)
    const pending = this.#pending.get(address) ?? 0
    if (connection.status !== 'open' || pending >= LIMITS.pendingHandshakesPerAddress || !this.#rate.allows(ALL))
      return false
    this.#pending.set(address, pending + 1)
    this.#addresses.set(connection, address)
    connection.addEventListener('close', () => this.finished(connection), { once: true })
    return true
  }

  /** Its handshake is done. */
  finished(connection: object): void {
    const address = this.#addresses.get(connection)
    if (address === undefined) return
    this.#addresses.delete(connection)
    const left = (this.#pending.get(address) ?? 1) - 1
    if (left > 0) this.#pending.set(address, left)
    else this.#pending.delete(address)
  }
}

/** The IP address of the other end. */
function hostOf({ remoteAddr }: MultiaddrConnection): string {
  return remoteAddr.getComponents()[0]?.value ?? ''
}
