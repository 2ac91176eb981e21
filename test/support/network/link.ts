import { runOk } from '../process.ts'
import type { Namespace } from './namespace.ts'

/** The device of each switch, in its namespace, that its ports are attached to. */
export const BRIDGE = 'br0'
/** How long a packet may wait in front of a link before it is dropped. */
const QUEUE = '20ms'
/** How much may pass at once: as long as the link takes for it, in seconds. */
const BURST_SECONDS = 0.01
/** Just above the largest packet that TCP hands down in one; what is larger than a burst is cut up first, which costs. */
const MIN_BURST_BYTES = 80 * 1024

/** One end of a link: a device in a namespace. */
export interface LinkEnd {
  readonly namespace: Namespace
  readonly device: string
}

/** Bytes that went through one end of a link, with all headers from Ethernet's on. */
export interface LinkBytes {
  readonly sent: number
  readonly received: number
}

interface DeviceStatistics {
  readonly stats64: { readonly rx: { readonly bytes: number }; readonly tx: { readonly bytes: number } }
}

/** Joins two namespaces by a pair of devices, which passes so much in each direction (tc-tbf(8)). */
export async function connect(a: LinkEnd, b: LinkEnd, bitsPerSecond: number): Promise<void> {
  const peer = ['peer', 'name', b.device, 'netns', b.namespace.name]
  await runOk('ip', ['link', 'add', a.device, 'netns', a.namespace.name, 'type', 'veth', ...peer])
  for (const end of [a, b]) {
    await shape(end, bitsPerSecond)
    await end.namespace.ip('link', 'set', end.device, 'up')
  }
}

/** Has the switch pass on what comes to this port, and what is for it. */
export async function attach({ namespace, device }: LinkEnd): Promise<void> {
  await namespace.ip('link', 'set', device, 'master', BRIDGE)
}

/** Has it pass on nothing. Nobody is told: the device at the other end stays up, and what is sent vanishes. */
export async function detach({ namespace, device }: LinkEnd): Promise<void> {
  await namespace.ip('link', 'set', device, 'nomaster')
}

export async function bytesThrough({ namespace, device }: LinkEnd): Promise<LinkBytes> {
  const [statistics] = JSON.parse(await namespace.ip('-s', '-j', 'link', 'show', device)) as DeviceStatistics[]
  if (statistics === undefined) throw new Error(`there is no ${device}`)
  return { sent: statistics.stats64.tx.bytes, received: statistics.stats64.rx.bytes }
}

async function shape({ namespace, device }: LinkEnd, bitsPerSecond: number): Promise<void> {
  const burst = Math.max(MIN_BURST_BYTES, Math.ceil((bitsPerSecond / 8) * BURST_SECONDS))
  const limits = ['rate', `${bitsPerSecond}bit`, 'burst', `${burst}b`, 'latency', QUEUE]
  await namespace.tc('qdisc', 'add', 'dev', device, 'root', 'tbf', ...limits)
}
