import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, Stream, StreamMessageEvent } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { tls as libp2pTls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { pEvent } from 'p-event'
import { afterEach, describe, expect, it } from 'vitest'
import { StreamSender } from '../exchange/stream-sender.ts'
import { tagRecordRules } from '../tags/record-rules.ts'
import { until } from '../testing/mesh-fixture.ts'
import { Admissions } from './admissions.ts'
import { BanList } from './bans.ts'
import { createGater } from './gater.ts'
import { HandshakeGate } from './handshake-gate.ts'
import { createHost } from './host.ts'
import { secretsAlone } from './membership.ts'
import { prologueOf } from './noise.ts'

const ECHO = '/test/echo'
const MIB = 1024 * 1024
const secret = Buffer.alloc(32, 1)
const otherSecret = Buffer.alloc(32, 2)

const started: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const stop of started.splice(0).reverse()) await stop()
})

interface Node {
  readonly node: Libp2p
  /** How often a protocol of this node was asked something. */
  asked(): number
}

async function serveEcho(node: Libp2p): Promise<Node> {
  let asked = 0
  await node.handle(ECHO, async (stream) => {
    asked++
    const bytes = await readToEnd(stream)
    await write(stream, bytes)
    await stream.close()
  })
  await node.start()
  started.push(() => Promise.resolve(node.stop()))
  return { node, asked: () => asked }
}

async function layermesh(itsSecret?: Uint8Array, bans = new BanList(() => 0)): Promise<Node> {
  const policy = secretsAlone(itsSecret ? [itsSecret] : [])
  const isBanned = (peerId: string) => bans.has(peerId)
  const onRefused = () => {}
  const admissions = new Admissions({ policy, maxPeers: 10, isBanned, onRefused })
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-host-'))
  started.push(() => rm(directory, { recursive: true, force: true }))
  const { host, datastore } = await createHost({
    privateKey: await generateKeyPair('Ed25519'),
    directory,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    announce: [],
    maxPeers: 10,
    admissions,
    gater: createGater({ isShutOut: isBanned, handshakes: new HandshakeGate(() => 0), onRefused }),
    tagRules: tagRecordRules(() => Promise.reject(new Error('none')))
  })
  started.push(() => datastore.close())
  return serveEcho(host)
}

/** A node of libp2p as others make it. */
async function foreign(encrypter: ReturnType<typeof libp2pTls> | ReturnType<typeof noise>): Promise<Node> {
  return serveEcho(
    await createLibp2p({
      start: false,
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [encrypter],
      streamMuxers: [yamux()]
    })
  )
}

async function readToEnd(stream: Stream): Promise<Buffer> {
  const parts: Uint8Array[] = []
  stream.addEventListener('message', ({ data }: StreamMessageEvent) => parts.push(data.subarray()))
  // All may have come before anybody listened.
  if (stream.remoteWriteStatus !== 'closed') {
    await pEvent(stream, 'remoteCloseWrite', { rejectionEvents: ['close'] })
  }
  await until(() => stream.readBufferLength === 0)
  return Buffer.concat(parts)
}

async function write(stream: Stream, bytes: Uint8Array): Promise<void> {
  const sender = new StreamSender(stream)
  for (let offset = 0; offset < bytes.byteLength; offset += 64 * 1024) {
    await sender.send([bytes.subarray(offset, offset + 64 * 1024)])
  }
}

/** Sends bytes, ends its half of the stream, and gets them back. Tells by which encryption. */
async function echo(from: Node, to: Node): Promise<string> {
  const connection = await from.node.dial(to.node.getMultiaddrs())
  const stream = await connection.newStream(ECHO)
  const bytes = randomBytes(6 * MIB)
  const back = readToEnd(stream)
  await write(stream, bytes)
  await stream.close()
  expect((await back).equals(bytes)).toBe(true)
  return connection.encryption ?? 'none'
}

describe('nodes speak', () => {
  it.each([
    ['with a secret', '/layermesh/tls/2.0.0', secret],
    ['of an open mesh', '/tls/1.0.0', undefined]
  ])('TLS when they are %s', async (_, encryption, itsSecret) => {
    expect(await echo(await layermesh(itsSecret), await layermesh(itsSecret))).toBe(encryption)
  })

  it.each([
    ['@libp2p/tls', undefined, '/tls/1.0.0', libp2pTls()],
    ['noise alone', undefined, '/noise', noise({ prologueBytes: prologueOf(undefined) })],
    ['noise alone and know the secret', secret, '/noise', noise({ prologueBytes: prologueOf(secret) })]
  ])('with those who speak %s, whoever dials', async (_, itsSecret, encryption, encrypter) => {
    const ours = await layermesh(itsSecret)
    expect(await echo(ours, await foreign(encrypter))).toBe(encryption)
    expect(await echo(await foreign(encrypter), ours)).toBe(encryption)
  })
})

describe('a connection does not come about', () => {
  it.each([
    ['another secret', otherSecret],
    ['no secret', undefined]
  ])('between a member and one with %s, whoever dials', async (_, itsSecret) => {
    const member = await layermesh(secret)
    const stranger = await layermesh(itsSecret)
    for (const [from, to] of [
      [member, stranger],
      [stranger, member]
    ] as const) {
      await expect(from.node.dialProtocol(to.node.getMultiaddrs(), ECHO)).rejects.toThrow()
    }
    expect([member.asked(), stranger.asked()]).toEqual([0, 0])
    expect([member.node.getPeers(), stranger.node.getPeers()]).toEqual([[], []])
  })

  it('with another node than the one that was dialled', async () => {
    const [ours, theirs] = [await layermesh(secret), await layermesh(secret)]
    const expected = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const [address] = theirs.node.getMultiaddrs()
    const wrong = multiaddr(address?.toString().replace(/p2p\/.*/, `p2p/${expected}`))
    await expect(ours.node.dial(wrong)).rejects.toThrow(`the peer is ${theirs.node.peerId}, not ${expected}`)
  })

  it('with a peer that is banned', async () => {
    const bans = new BanList(() => 0)
    const [ours, theirs] = [await layermesh(secret, bans), await layermesh(secret)]
    bans.ban(theirs.node.peerId.toString(), 1)
    const [address] = ours.node.getMultiaddrs()
    await expect(
      theirs.node.dialProtocol(multiaddr(address?.toString()), ECHO, { signal: AbortSignal.timeout(60_000) })
    ).rejects.toThrow()
    expect(ours.asked()).toBe(0)
  })
})
