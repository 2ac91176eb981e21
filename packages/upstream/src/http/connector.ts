import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { ConnectFailure, UnsafeTarget } from './failures.ts'
import { farthest, mayLead, type Reach, reachOf } from './reach.ts'

/** A resolved address. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

export interface ConnectorOptions {
  /** The registry itself. */
  readonly origin: URL
  /** Whether the operator listed it, and so may have it anywhere. */
  readonly listed: boolean
  /** For name resolution, connection and TLS together. */
  readonly timeoutMs: number
  /** Certificates in PEM: the registry's own in place of the usual ones, for all else beside them. */
  readonly ca?: { readonly own: string; readonly others: readonly string[] }
}

/**
 * Opens all connections for one registry, and so decides where they may go: a registry that is not listed only to public
 * addresses; one that is listed anywhere itself, and where it leads to nowhere that is nearer to this machine than itself.
 * A name is resolved once for each connection, and what was checked is what is connected to.
 */
export function createConnector(resolve: Resolve, options: ConnectorOptions): buildConnector.connector {
  const { origin, listed, timeoutMs, ca } = options
  let own: Reach | undefined = isIP(bareHost(origin)) === 0 ? undefined : reachOf(bareHost(origin))
  const common = { timeout: timeoutMs, allowH2: false, maxCachedSessions: 16 }
  const toItself = buildConnector({
    ...common,
    ...(ca && { ca: ca.own }),
    lookup: checkedLookup(resolve, (all) => {
      if (!listed) return onlyPublic(all)
      own = farthest(all.map(({ address }) => reachOf(address)))
      return all
    })
  })
  const mayReach = (address: string) => mayLead(listed ? (own ?? 'public') : 'public', reachOf(address))
  const toOthers = buildConnector({
    ...common,
    ...(ca && { ca: [...ca.others] }),
    lookup: checkedLookup(resolve, (all) => all.filter(({ address }) => mayReach(address)))
  })
  return (target, callback) => {
    const itself = isOrigin(target, origin)
    const { hostname } = target
    // No socket looks up what is an address already.
    if (isIP(hostname) !== 0 && !(itself && listed) && !mayReach(hostname)) return callback(new UnsafeTarget(), null)
    const connect = itself ? toItself : toOthers
    connect(target, (error, socket) => (error === null ? callback(null, socket) : callback(asFailure(error), null)))
  }
}

function onlyPublic(addresses: readonly ResolvedAddress[]): readonly ResolvedAddress[] {
  return addresses.filter(({ address }) => mayLead('public', reachOf(address)))
}

function asFailure(error: Error): Error {
  return error instanceof UnsafeTarget ? error : new ConnectFailure(error)
}

/** A lookup for sockets that gives only what `pick` lets through. */
function checkedLookup(
  resolve: Resolve,
  pick: (addresses: readonly ResolvedAddress[]) => readonly ResolvedAddress[]
): LookupFunction {
  return (host, options, callback) => {
    resolve(host).then(
      (all) => {
        const allowed = pick(all)
        const [first] = allowed
        if (first === undefined) callback(new UnsafeTarget(), '', 0)
        else if (options.all) callback(null, [...allowed])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0)
    )
  }
}

function isOrigin({ protocol, hostname, port }: buildConnector.Options, origin: URL): boolean {
  return protocol === origin.protocol && hostname === bareHost(origin) && (port || '') === origin.port
}

/** The host of a URL, an IPv6 address without brackets. */
function bareHost({ hostname }: URL): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}
