import { digestOf } from '@layermesh/oci'
import { LeaseBook } from '@layermesh/swarm'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LeaseLink } from '../leases/link.ts'
import { decodeLeaseRequest, encodeLeaseAnswer } from '../leases/messages.ts'
import { PROTOCOL } from '../limits.ts'
import { FakeOrigin, type FakeOriginOptions } from '../testing/fake-origin.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MeshFixture, readAll, someBytes, store, type TestNode, until } from '../testing/mesh-fixture.ts'

const MIB = 1024 * 1024
/** Peers may take their time, as they do on a busy machine: the origin is for what none of them has. */
const PATIENT = { originHeadStartMs: 170_000 }
const soon = () => AbortSignal.timeout(170_000)

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await fixture[Symbol.asyncDispose]()
})

interface Cluster {
  readonly seed: TestNode
  readonly nodes: TestNode[]
  /** All nodes ask at once, each with an origin of its own that counts. */
  fetchAll(bytes: Uint8Array, options?: FakeOriginOptions): { origins: FakeOrigin[]; read: Promise<Buffer>[] }
}

/** A seed and nodes that joined it, each of which knows all others. */
async function clusterOf(
  count: number,
  zones: readonly string[] = ['default'],
  options: { originHeadStartMs?: number } = {}
): Promise<Cluster> {
  const seed = await fixture.node({ self: { version: 'test', role: 'seed', zone: zones[0] ?? '' } })
  const nodes: TestNode[] = []
  for (let index = 0; index < count; index++) {
    const zone = zones[index % zones.length] ?? ''
    const join = [seed, ...nodes].flatMap(({ mesh }) => mesh.addresses)
    const self = { version: 'test', role: 'node', zone } as const
    nodes.push(await fixture.node({ ...options, seeds: [seed.mesh.peerId], join, self }))
  }
  await until(() => nodes.every(({ mesh }) => mesh.connected().length === count))
  return {
    seed,
    nodes,
    fetchAll: (bytes, options) => {
      const origins = nodes.map(() => new FakeOrigin(bytes, options))
      const read = nodes.map(async (node, index) => {
        const request = { size: bytes.byteLength, origin: origins[index] as FakeOrigin }
        const reader = await node.mesh.fetch(digestOf(bytes), request, soon())
        return await readAll(reader)
      })
      return { origins, read }
    }
  }
}

function given(origins: readonly FakeOrigin[]): number {
  return origins.reduce((sum, { givenBytes }) => sum + givenBytes, 0)
}

/** What was held against others; not that one was silent for seconds, as all are while nine nodes share a busy process. */
function failures(nodes: readonly TestNode[]): unknown[] {
  const bans = nodes.flatMap(({ observer }) => observer.bans).filter(({ reason }) => reason !== 'silent')
  return [...nodes.flatMap(({ observer }) => observer.failures), ...bans]
}

describe('a blob that no peer has', () => {
  it.each([
    ['of many pieces', 5 * MIB + 77],
    ['of one piece', 200_000],
    ['of no bytes', 0]
  ])('%s is given by its origin once to eight nodes that ask at one time', async (_what, length) => {
    const { nodes, fetchAll } = await clusterOf(8)
    const bytes = someBytes(length)
    const { origins, read } = fetchAll(bytes, { answerMs: 50, chunkMs: 2 })
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(origins.filter(({ starts }) => starts.length > 0)).toHaveLength(1)
    expect(given(origins)).toBe(length)
    for (const { content } of nodes) await content.downloads.whole(digestOf(bytes), soon())
    expect(failures(nodes)).toEqual([])
  })

  it('is brought on by another node when the one that brings it dies', async () => {
    const { nodes, fetchAll } = await clusterOf(4)
    const bytes = someBytes(24 * MIB)
    const gone = Promise.withResolvers<void>()
    const { origins, read } = fetchAll(bytes, { pause: { at: 12 * MIB, until: gone.promise } })
    const results = Promise.allSettled(read)
    // It dies when the others have all that it brought.
    await until(() => nodes.every(({ observer }) => observer.receivedBytes + observer.upstreamBytes >= 12 * MIB))
    const died = nodes.findIndex(({ observer }) => observer.upstreamBytes >= 12 * MIB)
    await nodes[died]?.mesh.stop()
    gone.resolve()
    const others = (await results).filter((_, index) => index !== died)
    expect(others.map((result) => result.status === 'fulfilled' && result.value.equals(bytes))).toEqual(
      others.map(() => true)
    )
    // Who goes on begins where that one ended, not at the beginning.
    const starts = origins.flatMap((origin, index) => (index === died ? [] : origin.starts))
    expect(starts.length).toBeGreaterThan(0)
    expect(Math.min(...starts)).toBeGreaterThanOrEqual(12 * MIB)
    expect(given(origins)).toBeLessThan(1.5 * bytes.byteLength)
    expect(failures(nodes.filter((_, index) => index !== died))).toEqual([])
  })

  it('goes on when the arbiter dies', async () => {
    const { seed, fetchAll } = await clusterOf(3)
    const bytes = someBytes(8 * MIB)
    const gone = Promise.withResolvers<void>()
    const { origins, read } = fetchAll(bytes, { pause: { at: 4 * MIB, until: gone.promise } })
    await until(() => given(origins) >= 4 * MIB)
    await seed.mesh.stop()
    gone.resolve()
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(given(origins)).toBeLessThan(1.5 * bytes.byteLength)
  })

  it('is brought in by one that may, when the first to ask may not', async () => {
    const { nodes } = await clusterOf(3)
    const bytes = someBytes(3 * MIB)
    const digest = digestOf(bytes)
    const othersAsk = Promise.withResolvers<void>()
    const denied = new FakeOrigin(undefined, { answersAfter: othersAsk.promise, refusal: new Error('denied') })
    const [first, ...others] = nodes
    const one = first?.mesh.fetch(digest, { origin: denied }, soon())
    await until(() => denied.starts.length > 0)
    const origins = others.map(() => new FakeOrigin(bytes))
    const asked = vi.spyOn(LeaseBook.prototype, 'step')
    const read = others.map(async ({ mesh }, index) =>
      readAll(await mesh.fetch(digest, { origin: origins[index] as FakeOrigin }, soon()))
    )
    // They ask the arbiter before the first one's origin refuses it.
    const asking = () => asked.mock.calls.flatMap(([, event]) => (event.type === 'acquire' ? event.peer : []))
    await until(() => others.every(({ mesh }) => asking().includes(mesh.peerId)))
    othersAsk.resolve()
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect((await readAll(await one)).equals(bytes)).toBe(true)
    expect([denied.starts.length, given(origins)]).toEqual([1, bytes.byteLength])
  })

  it('is reported when no node can get it', async () => {
    const { nodes } = await clusterOf(5)
    const digest = digestOf(someBytes(10))
    const origins = nodes.map(() => new FakeOrigin(undefined))
    const found = await Promise.all(
      nodes.map(({ mesh }, index) => mesh.fetch(digest, { origin: origins[index] as FakeOrigin }, soon()))
    )
    expect(found).toEqual(nodes.map(() => undefined))
    // So many may try before the others are told that nobody can get it.
    expect(origins.reduce((sum, { starts }) => sum + starts.length, 0)).toBe(3)
  })

  it('goes on from another when the origin breaks off at the one that brings it', async () => {
    const { nodes, fetchAll } = await clusterOf(4)
    const bytes = someBytes(10 * MIB)
    const { origins, read } = fetchAll(bytes, { chunkMs: 2 })
    await until(() => given(origins) > MIB)
    for (const origin of origins) if (origin.givenBytes > 0) origin.options = { cutAt: 5 * MIB }
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(origins.filter(({ givenBytes }) => givenBytes > 0)).toHaveLength(2)
    expect(given(origins)).toBeLessThan(1.5 * bytes.byteLength)
    expect(failures(nodes)).toEqual([])
  })

  it('is brought in by one of two whom an arbiter told both to bring it', async () => {
    const generous = await hostileHost(fixture, { protocol: '/unused', answer: () => new Uint8Array() })
    await generous.host.handle(PROTOCOL.lease, (stream) => {
      const link: LeaseLink = new LeaseLink(
        stream,
        (message) => {
          const request = decodeLeaseRequest(message)
          if (request.op === 'acquire') link.send(encodeLeaseAnswer({ op: 'granted', digest: request.digest }))
        },
        () => {}
      )
    })
    const seeds = [generous.peerId]
    const first = await fixture.node({ seeds })
    const second = await fixture.node({ seeds, join: first.mesh.addresses })
    for (const node of [first, second]) await generous.dial(node)
    await until(() => [first, second].every(({ mesh }) => mesh.connected().length === 2))
    const bytes = someBytes(24 * MIB)
    const [bothAsked, oneYielded] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const pause = { at: 8 * MIB, until: oneYielded.promise }
    const origins = [0, 1].map(() => new FakeOrigin(bytes, { answersAfter: bothAsked.promise, pause }))
    const read = [first, second].map(async ({ mesh }, index) =>
      readAll(await mesh.fetch(digestOf(bytes), { origin: origins[index] as FakeOrigin }, soon()))
    )
    await until(() => origins.every(({ starts }) => starts.length > 0))
    bothAsked.resolve()
    await until(() => origins.every(({ bodies }) => bodies > 0) && origins.some(({ openBodies }) => openBodies === 0))
    oneYielded.resolve()
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(given(origins)).toBeLessThan(1.5 * bytes.byteLength)
  })

  it('is given once to each of two zones at most, and crosses between them rather than come again', async () => {
    const { nodes, fetchAll } = await clusterOf(4, ['east', 'west'])
    const bytes = someBytes(6 * MIB)
    const { origins, read } = fetchAll(bytes, { answerMs: 50, chunkMs: 4 })
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(origins.filter(({ starts }) => starts.length > 0).length).toBeLessThanOrEqual(2)
    expect(failures(nodes)).toEqual([])
  })

  it('comes to one who asks while it comes, and to one who asks when it has come', async () => {
    const { nodes } = await clusterOf(3, ['default'], PATIENT)
    const [first, second, third] = nodes as [TestNode, TestNode, TestNode]
    const bytes = someBytes(8 * MIB)
    const digest = digestOf(bytes)
    const origin = new FakeOrigin(bytes, { chunkMs: 4 })
    const unused = new FakeOrigin(bytes)
    const one = readAll(await first.mesh.fetch(digest, { origin }, soon()))
    await until(() => origin.givenBytes > 4 * MIB)
    expect((await readAll(await second.mesh.fetch(digest, { origin: unused }, soon()))).equals(bytes)).toBe(true)
    expect((await one).equals(bytes)).toBe(true)
    await first.content.downloads.whole(digest, soon())
    expect((await readAll(await third.mesh.fetch(digest, { origin: unused }, soon()))).equals(bytes)).toBe(true)
    expect([origin.givenBytes, unused.givenBytes]).toEqual([bytes.byteLength, 0])
  })

  it('is given once also when the seed wants it with the others', async () => {
    const { seed, nodes } = await clusterOf(3)
    const bytes = someBytes(200_000)
    const all = [seed, ...nodes]
    const origins = all.map(() => new FakeOrigin(bytes, { answerMs: 100 }))
    const read = all.map(async ({ mesh }, index) =>
      readAll(await mesh.fetch(digestOf(bytes), { origin: origins[index] as FakeOrigin }, soon()))
    )
    for (const each of await Promise.all(read)) expect(each.equals(bytes)).toBe(true)
    expect(given(origins)).toBe(bytes.byteLength)
  })

  it('is taken from a peer that has it, and its origin is left alone', async () => {
    const { nodes } = await clusterOf(2, ['default'], PATIENT)
    const [first, second] = nodes as [TestNode, TestNode]
    const bytes = someBytes(5 * MIB)
    const digest = await store(first.content, bytes)
    const origin = new FakeOrigin(bytes)
    expect((await readAll(await second.mesh.fetch(digest, { origin }, soon()))).equals(bytes)).toBe(true)
    expect(origin.starts).toEqual([])
  })
})
