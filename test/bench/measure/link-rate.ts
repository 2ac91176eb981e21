import type { Host } from '../../support/network/host.ts'
import type { HostClient } from '../cluster.ts'

/** Long enough that what passes at once at the start does not count, in seconds. */
const SECONDS = 4

/** What one bare TCP connection carries from host to host over links of a nominal rate, in bits a second. */
export async function measureLink(
  from: { readonly host: Host; readonly client: HostClient },
  to: { readonly client: HostClient },
  nominalBitsPerSecond: number
): Promise<number> {
  const { address } = from.host
  const port = await from.client.call('sendRaw', address, Math.ceil((nominalBitsPerSecond / 8) * SECONDS))
  return await to.client.call('takeRaw', address, port)
}
