import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { PROTOCOL } from '@layermesh/mesh'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PrivateKey, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { decode, encode } from 'cborg'
import { createLibp2p } from 'libp2p'
import { Admissions } from '../../../packages/mesh/src/network/admissions.ts'
import { secretsAlone } from '../../../packages/mesh/src/network/membership.ts'
import { prologueOf } from '../../../packages/mesh/src/network/noise.ts'
import { tls } from '../../../packages/mesh/src/network/tls/encrypter.ts'
import { eventually } from '../../support/http.ts'
import type { Contact, MeshNode } from '../../support/node.ts'

/** Every protocol that a node answers members on. */
export const PROTOCOLS: readonly string[] = [
  ...Object.values(PROTOCOL),
  '/layermesh/id/1.0.0',
  '/layermesh/id/push/1.0.0',
  '/layermesh/ping/1.0.0'
]
const MANY = 1_000_000
const ANSWER_TIMEOUT_MS = 60_000
const DIAL_TIMEOUT_MS = 60_000

export interface HostilePeerOptions {
  /** The cluster secret; without one it is a stranger, unless the mesh is open. */
  readonly secret?: Uint8Array
  /** How it encrypts. @default 'tls' */
  readonly encryption?: 'tls' | 'noise'
  readonly privateKey?: PrivateKey
  /** Whether it can be dialled. @default false */
  readonly listens?: boolean
}

type Json = Record<string, unknown>

/** Somebody with libp2p and bad intentions: it keeps to none of the bounds that a node of the mesh has. */
export class HostilePeer {
  readonly host: Libp2p
  readonly #victims = new Map<string, Multiaddr>()

  private constructor(host: Libp2p) {
    this.host = host
  }

  static async start(options: HostilePeerOptions = {}): Promise<HostilePeer> {
    const policy = secretsAlone(options.secret === undefined ? [] : [options.secret])
    const admissions = new Admissions({ maxPeers: 100, policy, isBanned: () => false, onRefused: () => {} })
    const byNoise = noise({ prologueBytes: prologueOf(options.secret) })
    const host = await createLibp2p({
      privateKey: options.privateKey ?? (await generateKeyPair('Ed25519')),
      addresses: { listen: options.listens ? ['/ip4/127.0.0.1/tcp/0'] : [] },
      transports: [tcp()],
      connectionEncrypters: [options.encryption === 'noise' ? byNoise : tls({ admissions })],
      streamMuxers: [yamux({ maxInboundStreams: MANY, maxOutboundStreams: MANY, enableKeepAlive: false })],
      connectionGater: { denyDialMultiaddr: () => false },
      connectionManager: { maxConnections: MANY, maxParallelDials: 200, dialTimeout: DIAL_TIMEOUT_MS },
      connectionMonitor: { enabled: false }
    })
    return new HostilePeer(host)
  }

  get peerId(): string {
    return this.host.peerId.toString()
  }

  /** Connects, or uses the connection that is there. */
  async connect({ meshAddresses: [address = ''] }: Contact): Promise<Connection> {
    const to = this.#victims.get(address) ?? multiaddr(address)
    this.#victims.set(address, to)
    return await this.host.dial(to, { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) })
  }

  /** A stream on which the peer may send what it likes; nothing of what comes is read until somebody listens. */
  async open(victim: Contact, protocol: string): Promise<Stream> {
    const connection = await this.connect(victim)
    const stream = await connection.newStream(protocol, {
      maxOutboundStreams: MANY,
      signal: AbortSignal.timeout(DIAL_TIMEOUT_MS)
    })
    stream.addEventListener('close', () => {})
    return stream
  }

  /** One request and its answer, as the protocols of small messages have it; undefined when there is no answer. */
  async call(victim: Contact, protocol: string, message: Record<string, unknown>): Promise<Json | undefined> {
    const stream = await this.open(victim, protocol)
    let answer = Buffer.alloc(0)
    stream.addEventListener('message', ({ data }) => {
      answer = Buffer.concat([answer, data.subarray()])
    })
    stream.send(lengthPrefixed(encode(message)))
    const body = await eventually('an answer comes', ANSWER_TIMEOUT_MS, () => {
      return stream.status === 'open' ? messageIn(answer) : (messageIn(answer) ?? null)
    }).catch(() => null)
    stream.abort(new Error('done'))
    return body === null ? undefined : (decode(body) as Json)
  }

  /** Whether the victim has closed all connections. */
  isCut(): boolean {
    return this.host.getConnections().every(({ status }) => status !== 'open')
  }

  async stop(): Promise<void> {
    for (const connection of this.host.getConnections()) connection.abort(new Error('done'))
    await this.host.stop()
  }
}

/** Sends as long as the other side takes it. @returns how many bytes went out; fewer when the stream ended */
export async function sendAll(stream: Stream, chunks: Iterable<Uint8Array>, stallMs = 5_000): Promise<number> {
  let sent = 0
  for (const chunk of chunks) {
    if (stream.writeStatus !== 'writable') break
    try {
      const more = stream.send(chunk)
      sent += chunk.byteLength
      if (!more) await stream.onDrain({ signal: AbortSignal.timeout(stallMs) })
    } catch {
      break
    }
  }
  return sent
}

/** A message with its length before it, as the hello and tag protocols have it. */
export function lengthPrefixed(message: Uint8Array): Uint8Array {
  const length: number[] = []
  let rest = message.byteLength
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) length.push((rest & 0x7f) | 0x80)
  return Buffer.concat([Buffer.from([...length, rest]), message])
}

/** The message at the beginning of these bytes; undefined when it is not whole. */
function messageIn(bytes: Uint8Array): Uint8Array | undefined {
  const lengthBytes = bytes.findIndex((byte) => byte < 0x80) + 1
  const length = bytes.subarray(0, lengthBytes).reduce((sum, byte, i) => sum + (byte & 0x7f) * 128 ** i, 0)
  return lengthBytes > 0 && bytes.byteLength >= lengthBytes + length
    ? bytes.subarray(lengthBytes, lengthBytes + length)
    : undefined
}

/** All that comes on a stream until it ends, or `timeoutMs` pass. */
export async function received(stream: Stream, timeoutMs = 3_000): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => chunks.push(Buffer.from(data.subarray())))
  const ended = () => (stream.readStatus === 'closed' || stream.status !== 'open' ? true : undefined)
  await eventually('the stream ends', timeoutMs, ended).catch(() => {})
  return Buffer.concat(chunks)
}

export async function readSecret(file: string): Promise<Uint8Array> {
  return Buffer.from((await readFile(file, 'utf8')).trim(), 'base64url')
}

export function* garbage(chunks: number, bytes: number): Generator<Uint8Array> {
  for (let i = 0; i < chunks; i++) yield randomBytes(bytes)
}

/** How often a node shut a peer out, for one reason or for any. */
export function bansBy(node: MeshNode, reason?: string): Promise<number> {
  return node.metric('layermesh_peers_banned_total', reason === undefined ? {} : { reason })
}
