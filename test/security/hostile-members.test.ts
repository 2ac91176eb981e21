import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROTOCOL } from '@layermesh/mesh'
import { encode } from 'cborg'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { encodeJoin } from '../../packages/mesh/src/wire/blob-messages.ts'
import { encodeRequest } from '../../packages/mesh/src/wire/frames.ts'
import { secretFile } from '../chaos/support/secret.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { type PushedImage, putImage } from './support/client.ts'
import { HonestClients } from './support/honest-clients.ts'
import {
  bansBy,
  garbage,
  HostilePeer,
  lengthPrefixed,
  PROTOCOLS,
  readSecret,
  received,
  sendAll
} from './support/hostile-peer.ts'
import { type Usage, Victim } from './support/victim.ts'

const MIB = 1024 * 1024
/** Many times what a node waits for a message. */
const SLOW_PEER_MS = 120_000
const MAX_GROWTH_BYTES = 300 * MIB
/** Whom an attack keeps out waits for ever. */
const MAX_WAIT_MS = 90_000
const RPC_PROTOCOLS = [PROTOCOL.hello, PROTOCOL.tag, PROTOCOL.notice, PROTOCOL.prefetch]

const sandbox = useSandbox()
let victim: Victim
let node: MeshNode
let large: PushedImage
let secret: Uint8Array
let before: Usage
let clients: HonestClients
const peers: HostilePeer[] = []

beforeAll(async () => {
  const file = await secretFile(sandbox)
  secret = await readSecret(file)
  const flags = ['--secret-file', file]
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed', flags })
  node = await MeshNode.start(sandbox, { name: 'node', join: [victim.node], seed: victim.node, flags })
  large = await putImage(victim.node, 'team/large', '1', randomBytes(32 * MIB))
  clients = HonestClients.start(sandbox, victim.node, node)
  await clients.more(3)
  before = await victim.usage()
})

afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.stop()))
})

async function member(): Promise<HostilePeer> {
  const peer = await HostilePeer.start({ secret })
  peers.push(peer)
  return peer
}

/** Has honest clients use the victim while `attack` goes on; afterwards nothing of it is left. */
async function survives(attack: () => Promise<void>): Promise<void> {
  const peak = await victim.node.peakResidentBytes()
  await attack()
  await clients.more(2)
  expect(clients.slowestMs(), 'ms that an honest client waited').toBeLessThan(MAX_WAIT_MS)
  expect((await victim.node.peakResidentBytes()) - peak, 'bytes of memory').toBeLessThan(MAX_GROWTH_BYTES)
  await Promise.all(peers.splice(0).map((peer) => peer.stop()))
  await victim.expectNoLeak(before, { slackBytes: 16 * MIB })
  victim.expectAlive()
}

test.each(PROTOCOLS)('garbage on %s', async (protocol) => {
  await survives(async () => {
    const peer = await member()
    for (let i = 0; i < 30 && !peer.isCut(); i++) {
      const stream = await peer.open(victim.node, protocol).catch(() => undefined)
      if (stream === undefined) break
      await sendAll(stream, garbage(4, 64 * 1024))
      await received(stream, 100)
      stream.abort(new Error('done'))
    }
  })
})

test('garbage on the blob protocol has the peer shut out', async () => {
  const peer = await member()
  const banned = await bansBy(victim.node, 'malformed')
  const stream = await peer.open(victim.node, PROTOCOL.blob)
  stream.send(Buffer.from('ffffffff08', 'hex'))
  await expect.poll(() => bansBy(victim.node, 'malformed')).toBe(banned + 1)
  await expect.poll(() => peer.isCut()).toBe(true)
  await expect(peer.open(victim.node, PROTOCOL.hello)).rejects.toThrow()
})

test('lengths beyond all bounds are refused before memory is kept for them', async () => {
  const lengths = ['ffffffff0f', 'ffffffffffffff7f', 'ffffffffffffffffff01', 'ffffffffffffffffffffffffffffff', '818040']
  const frames = ['ffffffff01', '7fffffff08', '0004000206', '0000000000', '0000000109', '0004000200']
  const cases = [
    ...lengths.flatMap((length) =>
      [...RPC_PROTOCOLS, PROTOCOL.dht, '/layermesh/id/push/1.0.0'].map((protocol) => [length, protocol] as const)
    ),
    ...frames.map((frame) => [frame, PROTOCOL.blob] as const)
  ]
  await survives(async () => {
    const crowd: HostilePeer[] = []
    // One after the other: a busy machine ends handshakes that take too long.
    for (const _ of cases) {
      const peer = await member()
      await peer.connect(victim.node)
      crowd.push(peer)
    }
    await Promise.all(
      cases.map(async ([bytes, protocol], index) => {
        const stream = (await crowd[index]?.open(victim.node, protocol)) ?? expect.fail()
        await sendAll(stream, [Buffer.from(bytes, 'hex'), ...garbage(16, 64 * 1024)])
        await expect.poll(() => stream.status, { message: `${bytes} on ${protocol}` }).not.toBe('open')
      })
    )
  })
})

test('CBOR that unfolds to more than it is: deep, wide, and with lengths that lie', async () => {
  const nested = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x81), Buffer.from([0x00])])
  const bombs = [
    nested(900_000),
    Buffer.concat([Buffer.alloc(300_000, 0xa1), Buffer.from([0x00])]),
    Buffer.from('9bffffffffffffffff', 'hex'),
    Buffer.from('bbffffffffffffffff', 'hex'),
    Buffer.from('5b7fffffffffffffff', 'hex'),
    Buffer.from('7affffffff', 'hex'),
    Buffer.concat([Buffer.from('9a000f4240', 'hex'), Buffer.alloc(1_000_000 - 10, 0x80)]),
    Buffer.from(encode(Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`key${i}`, i]))))
  ]
  await survives(async () => {
    for (const bomb of bombs) {
      for (const protocol of RPC_PROTOCOLS) {
        const peer = await member()
        const stream = await peer.open(victim.node, protocol)
        await sendAll(stream, [lengthPrefixed(bomb)])
        expect(await received(stream, 3_000), 'an answer').toHaveLength(0)
        await expect
          .poll(() => peer.isCut(), { message: `${bomb.subarray(0, 9).toString('hex')} on ${protocol}` })
          .toBe(true)
      }
    }
  })
})

test('a flood of requests that are well-formed', async () => {
  const request = lengthPrefixed(encode({ op: 'resolve', repository: 'team/large', tag: '1' }))
  const hello = lengthPrefixed(encode({ version: 'x', role: 'node', zone: 'default' }))
  await survives(async () => {
    const floods = await Promise.all(Array.from({ length: 3 }, member))
    await Promise.all(
      floods.flatMap((peer) =>
        Array.from({ length: 24 }, async (_, i) => {
          for (let n = 0; n < 20; n++) {
            const stream = await peer.open(victim.node, i % 2 ? PROTOCOL.tag : PROTOCOL.hello).catch(() => undefined)
            if (stream === undefined) return
            await sendAll(stream, [i % 2 ? request : hello])
            await received(stream, 2_000)
          }
        })
      )
    )
  })
})

test('a flood of joins and requests whose answers nobody reads', async () => {
  await survives(async () => {
    const peer = await member()
    const stream = await peer.open(victim.node, PROTOCOL.blob)
    stream.pause()
    const { digest } = large.layer
    function* flood() {
      for (let joinId = 1; joinId < 20_000; joinId++) {
        yield encodeJoin({ joinId, digest })
        yield encodeRequest({ requestId: joinId, joinId, piece: joinId % 40 })
      }
    }
    await sendAll(stream, flood())
  })
})

test('a flood of streams', async () => {
  await survives(async () => {
    const peer = await member()
    const streams = await Promise.all(
      PROTOCOLS.flatMap((protocol) =>
        Array.from({ length: 300 }, () => peer.open(victim.node, protocol).catch(() => undefined))
      )
    )
    const open = () => streams.filter((stream) => stream?.status === 'open').length
    // Some count as open until it is heard that they were reset.
    await expect.poll(open, { message: 'streams that the victim let be opened' }).toBeLessThan(PROTOCOLS.length * 64)
    await sleep(1_000)
  })
})

test('peers that take no byte of what they asked for are cut off, and keep nobody else waiting', async () => {
  await survives(async () => {
    const { digest, size } = large.layer
    const streams = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const stream = await (await member()).open(victim.node, PROTOCOL.blob)
        stream.send(encodeJoin({ joinId: 1, digest }))
        await once(stream, 'message')
        stream.pause()
        for (let piece = 0; piece < size / MIB; piece++)
          stream.send(encodeRequest({ requestId: piece, joinId: 1, piece }))
        return stream
      })
    )
    const cut = () => streams.filter(({ status }) => status !== 'open').length
    await expect.poll(cut).toBeGreaterThan(0)
  })
})

test('a peer that sends a byte a second is not waited for', async () => {
  await survives(async () => {
    const peer = await member()
    await Promise.all(
      [...RPC_PROTOCOLS, PROTOCOL.dht].map(async (protocol) => {
        const stream = await peer.open(victim.node, protocol)
        const begun = performance.now()
        stream.send(Buffer.from([0x40]))
        while (stream.status === 'open' && performance.now() - begun < SLOW_PEER_MS) {
          await sleep(1_000)
          await sendAll(stream, [Buffer.from([0xa1])])
        }
        expect(stream.status, protocol).not.toBe('open')
      })
    )
  })
})

test('streams that are half open, half closed, or reset again and again', async () => {
  await survives(async () => {
    const peer = await member()
    for (let i = 0; i < 150 && !peer.isCut(); i++) {
      for (const protocol of PROTOCOLS) {
        const stream = await peer.open(victim.node, protocol).catch(() => undefined)
        if (stream === undefined) continue
        if (i % 3 === 0) stream.abort(new Error('reset'))
        else if (i % 3 === 1) await stream.close({ signal: AbortSignal.timeout(1_000) }).catch(() => {})
        else {
          await sendAll(stream, garbage(1, 1))
          stream.abort(new Error('reset'))
        }
      }
    }
  })
})
