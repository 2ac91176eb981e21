import { lookup } from 'node:dns/promises'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { MeshError } from '../errors.ts'
import type { MeshHost } from './host.ts'

const MIN_PAUSE_MS = 250
const MAX_PAUSE_MS = 5_000
/** How often join addresses are looked up and dialled again when all is well. */
const REFRESH_MS = 60_000
const DIAL_DEADLINE_MS = 10_000
const LOOKUP_DEADLINE_MS = 5_000
/** A headless service may have thousands of addresses; a few are enough to join. */
const ADDRESSES_PER_NAME = 5

/** Where to join: a multiaddr, with or without peer id, or a name and port that is looked up again and again. */
export type JoinAddress =
  | { readonly kind: 'multiaddr'; readonly address: Multiaddr }
  | { readonly kind: 'name'; readonly host: string; readonly port: number }

/** Reads a join address: `/ip4/…`, `/dns4/…`, or `NAME:PORT` of a headless service. @throws {MeshError} ADDRESS_INVALID */
export function parseJoinAddress(text: string): JoinAddress {
  if (text.startsWith('/')) {
    try {
      return { kind: 'multiaddr', address: multiaddr(text) }
    } catch (cause) {
      throw new MeshError('ADDRESS_INVALID', `${text} is no multiaddr, such as /ip4/10.0.0.1/tcp/5002/p2p/12D3…`, {
        cause
      })
    }
  }
  const match = /^(?:dns:)?(\[[0-9a-fA-F:]+\]|[^:/\s]+):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[2])
  if (!match?.[1] || port < 1 || port > 65_535) {
    throw new MeshError('ADDRESS_INVALID', `${text} is neither a multiaddr nor NAME:PORT`)
  }
  return { kind: 'name', host: match[1].replace(/^\[|\]$/g, ''), port }
}

/** Looks a name up; one address each. */
export type Resolve = (host: string, signal: AbortSignal) => Promise<readonly { address: string; family: number }[]>

const resolveByDns: Resolve = (host) => lookup(host, { all: true })

export type SupervisedHost = Pick<
  MeshHost,
  'addEventListener' | 'getPeers' | 'getMultiaddrs' | 'getConnections' | 'dial'
>

export interface SupervisorOptions {
  readonly join: readonly JoinAddress[]
  /** Seeds, by peer id. One that is lost may come back elsewhere, where only the join addresses lead. */
  seeds(): readonly string[]
  readonly onFailure: (address: string, error: unknown) => void
  readonly resolve?: Resolve
}

/**
 * Keeps this node in the mesh: dials the join addresses until somebody is there, again when all peers or a seed are
 * lost, and from time to time, so that parts of the mesh that lost each other come together.
 */
export class Supervisor {
  readonly #host: SupervisedHost
  readonly #options: SupervisorOptions
  /** Seeds that were connected and are to be found again. */
  readonly #missed = new Set<string>()
  readonly #stopped = new AbortController()
  #loop: Promise<void> = Promise.resolve()
  #wake: () => void = () => {}
  #pauseMs = MIN_PAUSE_MS

  constructor(host: SupervisedHost, options: SupervisorOptions) {
    this.#host = host
    this.#options = options
  }

  start(): void {
    if (this.#options.join.length === 0) return
    this.#host.addEventListener('peer:connect', ({ detail: peer }) => void this.#missed.delete(peer.toString()))
    this.#host.addEventListener('peer:disconnect', ({ detail: peer }) => this.lost(peer.toString()))
    this.#loop = this.run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wake()
    await this.#loop
  }

  private lost(peerId: string): void {
    const isSeed = this.#options.seeds().includes(peerId)
    if (isSeed) this.#missed.add(peerId)
    if (!isSeed && this.#host.getPeers().length > 0) return
    this.#pauseMs = MIN_PAUSE_MS
    this.#wake()
  }

  private async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      await Promise.all(this.#options.join.map((address) => this.dial(address)))
      await this.pause(this.nextPause())
    }
  }

  /** All nodes lose a seed at one moment; they do not come back to it at one moment. */
  private nextPause(): number {
    const joined = this.#host.getPeers().length > 0
    if (joined && this.#missed.size === 0) {
      this.#pauseMs = MIN_PAUSE_MS
      return REFRESH_MS
    }
    const pauseMs = this.#pauseMs
    this.#pauseMs = Math.min(pauseMs * 2, joined ? REFRESH_MS : MAX_PAUSE_MS)
    return pauseMs * (0.5 + Math.random() / 2)
  }

  private async dial(join: JoinAddress): Promise<void> {
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(DIAL_DEADLINE_MS + LOOKUP_DEADLINE_MS)])
    try {
      const addresses = join.kind === 'multiaddr' ? [join.address] : await this.lookUp(join.host, join.port, signal)
      await Promise.all(addresses.map((address) => this.dialAddress(address, signal)))
    } catch (error) {
      if (!this.#stopped.signal.aborted)
        this.#options.onFailure(
          join.kind === 'multiaddr' ? join.address.toString() : `${join.host}:${join.port}`,
          error
        )
    }
  }

  private async dialAddress(address: Multiaddr, signal: AbortSignal): Promise<void> {
    const own = this.#host.getMultiaddrs().some((mine) => mine.toString().startsWith(address.toString()))
    const there = this.#host
      .getConnections()
      .some((connection) => connection.remoteAddr.toString().startsWith(address.toString()))
    if (own || there) return
    try {
      await this.#host.dial(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_DEADLINE_MS)]) })
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#options.onFailure(address.toString(), error)
    }
  }

  private async lookUp(host: string, port: number, signal: AbortSignal): Promise<Multiaddr[]> {
    const resolve = this.#options.resolve ?? resolveByDns
    const found = await resolve(host, signal)
    // Each node starts at another place of the list, so that they do not all join at the same one.
    const start = Math.floor(Math.random() * Math.max(found.length, 1))
    return [...found.slice(start), ...found.slice(0, start)]
      .slice(0, ADDRESSES_PER_NAME)
      .map(({ address, family }) => multiaddr(`/ip${family}/${address}/tcp/${port}`))
  }

  private async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
      if (this.#stopped.signal.aborted) this.#wake()
    })
  }
}
