import { lookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import { WebhookError } from '../errors.ts'

/** A resolved address. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: number
}

export type Resolve = (host: string) => Promise<readonly ResolvedAddress[]>

/** As the system resolves names, hosts file and all. */
export const resolveBySystem: Resolve = (host) => lookup(host, { all: true })

/** What the internet routes: all other IPv6 addresses are local, or carry an IPv4 address. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')
/** Public by its number, but on Azure the host's own agent, with credentials of the machine. */
const AZURE_HOST = '168.63.129.16'

/**
 * Whether an address is somebody's on the internet: not private, loopback, link-local (where clouds have their metadata),
 * multicast, unspecified, reserved, or an IPv6 form of an IPv4 address (mapped, translated by NAT64, 6to4, Teredo).
 */
export function isPublicAddress(text: string): boolean {
  if (isIP(text) === 0) return false
  const address = ipaddr.parse(text.split('%')[0] ?? '')
  if (address.range() !== 'unicast') return false
  return address instanceof ipaddr.IPv6 ? address.match(GLOBAL_UNICAST) : address.toString() !== AZURE_HOST
}

/**
 * A lookup for sockets that gives only addresses that may be reached: what it gives is what is connected to, so that a
 * name can't mean another address when it is checked than when it is used. The same text whatever is refused, so that a
 * webhook can't be used to look around in the network (CVE-2020-13788).
 */
export function guardedLookup(resolve: Resolve): LookupFunction {
  return (host, options, callback) => {
    resolve(host).then(
      (all) => {
        const allowed = all.filter(({ address }) => isPublicAddress(address))
        const [first] = allowed
        if (first === undefined) callback(refusal(), '', 0)
        else if (options.all) callback(null, [...allowed])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0)
    )
  }
}

/** @throws {WebhookError} ADDRESS_REFUSED for a host that is itself an address which may not be reached: no socket looks it up */
export function refuseLiteral(host: string): void {
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw refusal()
}

function refusal(): WebhookError {
  return new WebhookError(
    'ADDRESS_REFUSED',
    'the receiver is at an address that webhooks may not reach; allowPrivateAddresses: true lets this one'
  )
}
