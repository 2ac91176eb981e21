import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import type { Border } from './border.ts'
import { ConnectFailure, UnsafeTarget } from './failures.ts'
import { farthest, reachOf } from './reach.ts'
import type { Tunnels } from './tunnels.ts'

/** A resolved address. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

export interface ConnectorComponents {
  readonly resolve: Resolve
  readonly border: Border
  readonly tunnels: Pick<Tunnels, 'open'>
}

export interface ConnectorOptions {
  /** For name resolution, connection and TLS together; a proxy has time of its own before ({@link Tunnels}). */
  readonly timeoutMs: number
  /** Certificates in PEM: the registry's own in place of the usual ones, for all else beside them. */
  readonly ca?: { readonly own: string; readonly others: readonly string[] }
}

/**
 * Opens all connections for one registry, to where its {@link Border} lets them go. A name is resolved once for each
 * connection, and what was checked is what is connected to.
 */
export function createConnector(
  { resolve, border, tunnels }: ConnectorComponents,
  { timeoutMs, ca }: ConnectorOptions
): buildConnector.connector {
  const common = { timeout: timeoutMs, allowH2: false, maxCachedSessions: 16 }
  const permitted = (all: readonly ResolvedAddress[]) => all.filter(({ address }) => border.mayReach(reachOf(address)))
  const toItself = buildConnector({
    ...common,
    ...(ca && { ca: ca.own }),
    lookup: checkedLookup(resolve, (all) => {
      if (!border.isListed) return permitted(all)
      border.located(farthest(all.map(({ address }) => reachOf(address))))
      return all
    })
  })
  const toOthers = buildConnector({
    ...common,
    ...(ca && { ca: [...ca.others] }),
    lookup: checkedLookup(resolve, permitted)
  })
  const begin = async (target: buildConnector.Options): Promise<buildConnector.Options> => {
    const proxy = await border.pass(target)
    return proxy === undefined ? target : { ...target, httpSocket: await tunnels.open(proxy, authorityOf(target)) }
  }
  return (target, callback) => {
    const connect = border.isItself(target) ? toItself : toOthers
    const failed = (error: Error) => callback(asFailure(error), null)
    begin(target).then(
      (begun) => connect(begun, (error, socket) => (error === null ? callback(null, socket) : failed(error))),
      failed
    )
  }
}

/** Host and port; an IPv6 address in brackets. */
function authorityOf({ hostname, port, protocol }: buildConnector.Options): string {
  const host = isIP(hostname) === 6 ? `[${hostname}]` : hostname
  return `${host}:${port || (protocol === 'https:' ? 443 : 80)}`
}

function asFailure(error: Error): Error {
  return error instanceof UnsafeTarget || error instanceof ConnectFailure ? error : new ConnectFailure(error)
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
