import { digestOf } from '@layermesh/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { parsePeerId } from '../network/rpc.ts'
import { FakeOrigin } from '../testing/fake-origin.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MeshFixture, readAll, someBytes, type TestNode, until } from '../testing/mesh-fixture.ts'
import { encodeFields } from '../wire/fields.ts'
import { LeaseLink } from './link.ts'
import { decodeLeaseAnswer, encodeLeaseRequest, type LeaseAnswer, type LeaseRequest } from './messages.ts'

const digest = digestOf(Buffer.from('a blob'))
const soon = () => AbortSignal.timeout(120_000)

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

/** A peer that speaks with the arbiter of a node as a test wants. */
async function asker(node: TestNode) {
  const peer = await hostileHost(fixture, { protocol: '/unused', answer: () => new Uint8Array() })
  await peer.dial(node)
  const stream = await peer.host.dialProtocol(parsePeerId(node.mesh.peerId), PROTOCOL.lease)
  const answers: LeaseAnswer[] = []
  let closed = false
  const link = new LeaseLink(
    stream,
    (bytes) => answers.push(decodeLeaseAnswer(bytes)),
    () => {
      closed = true
    }
  )
  return {
    peerId: peer.peerId,
    stream,
    answers,
    isClosed: () => closed,
    ask: (request: LeaseRequest) => link.send(encodeLeaseRequest(request)),
    raw: (bytes: Uint8Array) => link.send(bytes),
    leave: () => link.close()
  }
}

describe('an arbiter', () => {
  it('gives what a peer holds to the next one when its stream ends', async () => {
    const node = await fixture.node()
    const [first, second] = [await asker(node), await asker(node)]
    first.ask({ op: 'acquire', digest })
    await until(() => first.answers.length > 0)
    second.ask({ op: 'acquire', digest })
    await until(() => second.answers.length > 0)
    expect(second.answers).toMatchObject([{ op: 'held', holder: { peerId: first.peerId } }])
    first.leave()
    await until(() => second.answers.length > 1)
    expect(second.answers[1]).toEqual({ op: 'granted', digest })
  })

  it('passes over what a later version asks', async () => {
    const node = await fixture.node()
    const { raw, ask, answers } = await asker(node)
    raw(encodeFields({ op: 'lend', digest }))
    ask({ op: 'acquire', digest })
    await until(() => answers.length > 0)
    expect(answers).toEqual([{ op: 'granted', digest }])
  })

  it.each([
    ['what is no message', Buffer.from('ff00ff', 'hex')],
    ['a digest that is none', encodeFields({ op: 'acquire', digest: '../../etc' })],
    ['more than a message may have', Buffer.alloc(LIMITS.leaseMessageBytes + 1)]
  ])('shuts out who sends %s', async (_what, bytes) => {
    const node = await fixture.node()
    const { peerId, raw } = await asker(node)
    raw(bytes)
    await until(() => node.observer.bans.length > 0)
    expect(node.observer.bans).toEqual([{ peerId, reason: 'malformed' }])
  })

  it('does not listen to one that sends more than it may', async () => {
    const node = await fixture.node()
    const { ask, isClosed } = await asker(node)
    // On and on: each second some more are allowed.
    while (!isClosed()) {
      for (let sent = 0; sent <= LIMITS.leaseBurst; sent++) ask({ op: 'renew', digests: [] })
      await new Promise(setImmediate)
    }
    expect(node.mesh.connected().length).toBeGreaterThan(0)
  })
})

describe('a node whose arbiter', () => {
  const bytes = someBytes(1_000_000)

  async function against(answer: (link: LeaseLink) => void) {
    const arbiter = await hostileHost(fixture, { protocol: '/unused', answer: () => new Uint8Array() })
    await arbiter.host.handle(PROTOCOL.lease, (stream) => {
      const link: LeaseLink = new LeaseLink(
        stream,
        () => answer(link),
        () => {}
      )
    })
    const node = await fixture.node({ seeds: [arbiter.peerId] })
    await arbiter.dial(node)
    await until(() => node.mesh.connected().length > 0)
    const origin = new FakeOrigin(bytes)
    return { node, arbiter, read: async () => readAll(await node.mesh.fetch(digestOf(bytes), { origin }, soon())) }
  }

  it('says nothing asks the next one', async () => {
    const { read } = await against(() => {})
    expect((await read()).equals(bytes)).toBe(true)
  })

  it('has no room asks the next one', async () => {
    const busy = encodeFields({ op: 'refused', digest: digestOf(bytes), reason: 'busy' })
    const { read } = await against((link) => link.send(busy))
    expect((await read()).equals(bytes)).toBe(true)
  })

  it('can not be understood shuts it out and asks the next one', async () => {
    const { node, arbiter, read } = await against((link) => link.send(Buffer.from('ff', 'hex')))
    expect((await read()).equals(bytes)).toBe(true)
    expect(node.observer.bans).toEqual([{ peerId: arbiter.peerId, reason: 'malformed' }])
  })

  it('is gone asks the next one', async () => {
    const { read } = await against((link) => link.close())
    expect((await read()).equals(bytes)).toBe(true)
  })

  it('names holders that bring nothing goes elsewhere at last', async () => {
    const holder = ['12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7', []]
    const held = encodeFields({ op: 'held', digest: digestOf(bytes), holder })
    const { read } = await against((link) => link.send(held))
    expect((await read()).equals(bytes)).toBe(true)
  })
})
