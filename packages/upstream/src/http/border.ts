import { isIP } from 'node:net'
import type { HttpProxy, ProxyChoice, ProxyTarget } from '../proxy/proxy.ts'
import { UnsafeTarget } from './failures.ts'
import { mayLead, type Reach, reachOf } from './reach.ts'
import { reachOfName } from './reach-of-name.ts'

export interface BorderOptions {
  /** The registry itself. */
  readonly origin: URL
  /** Whether the operator listed it, and so may have it anywhere. */
  readonly listed: boolean
  readonly proxyFor: ProxyChoice
}

/**
 * Where connections for one registry may go: for a registry that is not listed only to public addresses; for one that is
 * listed anywhere to itself, and where it leads to nowhere that is nearer to this machine than itself. What is asked by a
 * proxy is resolved there: then the name itself is judged, and the proxy connects to what it allows.
 */
export class Border {
  readonly #options: BorderOptions
  /** Where the registry is; undefined before that is known. */
  #own: Reach | undefined

  constructor(options: BorderOptions) {
    this.#options = options
    const host = bareHost(options.origin.hostname)
    this.#own = isIP(host) === 0 ? undefined : reachOf(host)
  }

  /** Whether this is the registry, rather than what it leads to. */
  isItself({ protocol, hostname, port }: ProxyTarget): boolean {
    const { origin } = this.#options
    return protocol === origin.protocol && bareHost(hostname) === bareHost(origin.hostname) && port === origin.port
  }

  get isListed(): boolean {
    return this.#options.listed
  }

  /** Whether what the registry leads to may be at a place; also the registry, when it is not listed. */
  mayReach(reach: Reach): boolean {
    return mayLead(this.isListed ? (this.#own ?? 'public') : 'public', reach)
  }

  /** The name of the registry turned out to lead there. */
  located(reach: Reach | undefined): void {
    this.#own = reach
  }

  /** By which proxy a place is asked, if it may be asked. @returns undefined when it is asked directly @throws {UnsafeTarget} */
  async pass(target: ProxyTarget): Promise<HttpProxy | undefined> {
    const { origin, proxyFor } = this.#options
    if (this.#own === undefined && proxyFor(origin) !== undefined) {
      this.#own = await reachOfName(bareHost(origin.hostname))
    }
    const host = bareHost(target.hostname)
    const proxy = proxyFor(target)
    if (this.isListed && this.isItself(target)) return proxy
    // Names that are resolved here are judged by their addresses, when the socket looks them up.
    if (proxy === undefined && isIP(host) === 0) return undefined
    if (!this.mayReach(await reachOfName(host))) throw new UnsafeTarget()
    return proxy
  }
}

/** An IPv6 address without brackets. */
function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}
