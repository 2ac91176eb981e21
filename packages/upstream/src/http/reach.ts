import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/**
 * Where an address is, seen from here: on the internet, in a network of its own, on this machine; `special` is what
 * nothing may lead to: link-local addresses, where clouds have their metadata, multicast, reserved blocks.
 */
export type Reach = 'public' | 'private' | 'loopback' | 'special'

/** What the internet routes; all other IPv6 addresses are local, or carry an IPv4 address. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')
/** RFC 6052 §2.1. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96')
/** Agents of clouds with credentials of the machine, at addresses that look like any other (AWS, Google, Alibaba, Azure). */
const METADATA = new Set(['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '168.63.129.16'])

/** The reach of an IP address. An IPv6 form of an IPv4 address is no nearer than that, and special unless both are public. */
export function reachOf(text: string): Reach {
  if (isIP(text) === 0) return 'special'
  const address = ipaddr.parse(text.split('%')[0] ?? '')
  if (METADATA.has(address.toString())) return 'special'
  return address instanceof ipaddr.IPv6 ? reachOfV6(address) : reachOfV4(address)
}

function reachOfV4(address: ipaddr.IPv4): Reach {
  switch (address.range()) {
    case 'unicast':
      return 'public'
    case 'private':
    case 'carrierGradeNat':
      return 'private'
    case 'loopback':
      return 'loopback'
    default:
      return 'special'
  }
}

function reachOfV6(address: ipaddr.IPv6): Reach {
  switch (address.range()) {
    case 'unicast':
      return address.match(GLOBAL_UNICAST) ? 'public' : 'special'
    case 'uniqueLocal':
      return 'private'
    case 'loopback':
      return 'loopback'
    default:
      return isPublicByNat64(address) ? 'public' : 'special'
  }
}

/** NAT64 with its well-known prefix: how a network without IPv4 reaches what has nothing else. */
function isPublicByNat64(address: ipaddr.IPv6): boolean {
  return address.match(NAT64) && reachOf(address.toByteArray().slice(-4).join('.')) === 'public'
}

const NEARNESS = { public: 0, private: 1, loopback: 2 } as const

/** Whether a registry at `from` may lead to an address at `to`: never to what is nearer to this machine than itself. */
export function mayLead(from: Reach, to: Reach): boolean {
  if (to === 'special') return false
  return NEARNESS[to] <= NEARNESS[from === 'special' ? 'private' : from]
}

/** The farthest of some; undefined of none. */
export function farthest(reaches: readonly Reach[]): Reach | undefined {
  const order: readonly Reach[] = ['public', 'private', 'loopback', 'special']
  return order.find((reach) => reaches.includes(reach))
}
