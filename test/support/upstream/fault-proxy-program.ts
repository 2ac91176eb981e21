import { type Behind, FaultProxy, type FaultProxyOptions } from './fault-proxy.ts'
import type { TrafficFilter } from './traffic.ts'

/* A fault proxy on another host, as a RemoteModule. */

let proxy: FaultProxy | undefined

/** Begins to listen. @returns its URL */
export async function open(options: FaultProxyOptions): Promise<string> {
  proxy = await FaultProxy.open(options)
  return proxy.url
}

export function serve(behind: Omit<Behind, 'tokens'>): void {
  opened().serve(behind)
}

/** Counts from 0. */
export function clear(): void {
  opened().traffic.clear()
}

export function requests(filter: TrafficFilter): number {
  return opened().traffic.requests(filter)
}

export function blobBytes(reference?: string): number {
  return opened().traffic.blobBytes(reference)
}

/** Resolves when so many bytes of blobs have gone out. @returns the address to which the last blob goes */
export async function reached(bytes: number): Promise<string | undefined> {
  const { traffic } = opened()
  await traffic.reached(bytes)
  return traffic.exchanges.findLast(({ wanted, bytes }) => wanted === 'blob' && bytes > 0)?.from.split(':')[0]
}

function opened(): FaultProxy {
  if (proxy === undefined) throw new Error('the proxy is not open')
  return proxy
}
