import { isIP } from 'node:net'
import { type Reach, reachOf } from './reach.ts'

/** What clouds call the place of their metadata. */
const METADATA = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal'
])

/**
 * The reach of a host that is asked by a proxy, which alone knows where its name leads: names below a public suffix of the
 * internet count as public, others as those of a network of its own.
 * @param host a name, or an address without brackets
 */
export async function reachOfName(host: string): Promise<Reach> {
  if (isIP(host) !== 0) return reachOf(host)
  const name = host.toLowerCase().replace(/\.$/, '')
  if (METADATA.has(name)) return 'special'
  if (name === 'localhost' || name.endsWith('.localhost')) return 'loopback'
  const { parse } = await import('tldts')
  const { isIcann, domain } = parse(name)
  return isIcann === true && domain !== null ? 'public' : 'private'
}
