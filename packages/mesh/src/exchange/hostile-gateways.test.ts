import { createHash } from 'node:crypto'
import { Bitfield, type Digest, digestOf, pieceCount, pieceLengthFor } from '@layermesh/oci'
import { type GrowingMap, peerIdOf, rootOfHashes, sealGrowingMap } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeOrigin } from '../testing/fake-origin.ts'
import { hostilePeer, type Misdeed, sendPiece } from '../testing/hostile-peer.ts'
import { MeshFixture, readAll, someBytes, type TestNode, until } from '../testing/mesh-fixture.ts'
import { encodeHave, encodeJoined } from '../wire/blob-messages.ts'

const MIB = 1024 * 1024
const SIZE = 4 * MIB + 9
const soon = () => AbortSignal.timeout(120_000)
const bytes = someBytes(SIZE)
const wrong = someBytes(SIZE, 2)
const digest = digestOf(bytes)
const signer = await generateKeyPair('Ed25519')
const honest = await generateKeyPair('Ed25519')

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

function hashesOf(of: Uint8Array): Uint8Array {
  const pieces = Array.from({ length: pieceCount(SIZE) }, (_, piece) => of.subarray(piece * MIB, (piece + 1) * MIB))
  return Buffer.concat(pieces.map((piece) => createHash('sha256').update(piece).digest()))
}

/** A growing map over the first pieces, with the hashes of those from `from` on. */
async function growthOf(
  of: Uint8Array,
  count: number,
  { from = 0, by = signer, ...change }: Partial<GrowingMap> & { from?: number; by?: PrivateKey } = {}
) {
  const hashes = hashesOf(of)
  const root = rootOfHashes(hashes.subarray(0, count * 32))
  const map = { digest, length: SIZE, pieceLength: pieceLengthFor(SIZE), count, root, since: 0, ...change }
  return { envelope: await sealGrowingMap(map, by), hashes: hashes.subarray(from * 32, count * 32) }
}

type Growth = Awaited<ReturnType<typeof growthOf>>

function held(count: number): Uint8Array {
  const field = new Bitfield(pieceCount(SIZE))
  for (let piece = 0; piece < count; piece++) field.set(piece)
  return field.toBytes()
}

/** A node that may ask an origin, and a peer that says it brings the blob in. */
async function against(
  gives: Uint8Array,
  answers: (joinId: number) => readonly Uint8Array[],
  {
    misdeed = sendPiece,
    answersAfter,
    join = []
  }: { misdeed?: Misdeed; answersAfter?: Promise<void>; join?: string | readonly string[] } = {}
): Promise<{ node: TestNode; origin: FakeOrigin; peerId: string; fetch(): Promise<Buffer> }> {
  const peer = await hostilePeer(
    fixture,
    { digest, bytes: gives, pieceLength: MIB, answers, ...(answersAfter && { answersAfter }) },
    misdeed
  )
  const node = await fixture.node({ join: [peer.address, ...[join].flat()] })
  await until(() => node.mesh.connected().length === 1 + [join].flat().length)
  const origin = new FakeOrigin(bytes)
  const request = { origin, size: SIZE, candidates: [peer.peerId] }
  const fetch = async () => readAll(await node.mesh.fetch(digest, request, soon()))
  return { node, origin, peerId: peer.peerId, fetch }
}

function joined(joinId: number, growth: Growth, count: number): Uint8Array {
  return encodeJoined({ joinId, size: SIZE, held: held(count), growth, peers: [] })
}

describe('a gateway that', () => {
  it('vouches for another blob is found out when all has come, nobody is given all of it, and it stays a peer', async () => {
    const growth = await growthOf(wrong, pieceCount(SIZE))
    const { node, origin, fetch } = await against(wrong, (id) => [joined(id, growth, pieceCount(SIZE))])
    await expect(fetch()).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await until(() => node.observer.failures.length > 0)
    expect(node.observer.failures).toEqual([{ peerId: peerIdOf(signer), reason: 'wrong-map' }])
    expect((await fetch()).equals(bytes)).toBe(true)
    expect([origin.givenBytes, node.observer.bans]).toEqual([SIZE, []])
  })

  it.each([
    ['is not believed in what it brings from there next', 'registry.example', 0, signer],
    ['is not believed in what others pass on of its word', 'registry.example', MIB, honest],
    ['is believed in what it brings from another registry', 'other.example', SIZE, signer]
  ])('brought in a wrong blob %s', async (_what, name, fromPeer, by) => {
    const next = someBytes(SIZE, 3)
    const one = await growthOf(next, 1, { digest: digestOf(next), by })
    const rest = await growthOf(next, pieceCount(SIZE), { digest: digestOf(next), from: 1 })
    const answers = (id: number) => [joined(id, one, 1), encodeHave({ joinId: id, pieces: [1, 2, 3, 4], growth: rest })]
    const blob = { digest: digestOf(next), bytes: next, pieceLength: MIB, answers }
    const peer = await hostilePeer(fixture, blob, sendPiece)
    const lie = await growthOf(wrong, pieceCount(SIZE))
    const { node, fetch } = await against(wrong, (id) => [joined(id, lie, pieceCount(SIZE))], { join: peer.address })
    await expect(fetch()).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    await until(() => node.observer.failures.length > 0)
    const before = node.observer.receivedBytes
    // Where all is to come from the peer, the origin says nothing.
    const origin = new FakeOrigin(next, {
      name,
      ...(fromPeer === SIZE && { answersAfter: new Promise<void>(() => {}) })
    })
    const request = { origin, size: SIZE, candidates: [peer.peerId] }
    expect((await readAll(await node.mesh.fetch(blob.digest, request, soon()))).equals(next)).toBe(true)
    expect(node.observer.receivedBytes - before).toBeLessThanOrEqual(fromPeer)
  })

  it('says that others vouched for the first of wrong pieces is not convicted, but not believed again either', async () => {
    const growth = await growthOf(wrong, pieceCount(SIZE), { since: 1 })
    const { node, fetch } = await against(wrong, (id) => [joined(id, growth, pieceCount(SIZE))])
    await expect(fetch()).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect((await fetch()).equals(bytes)).toBe(true)
    expect(node.observer.bans).toEqual([])
  })

  it('sends other bytes than it vouched for is shut out, and the blob comes right', async () => {
    const growth = await growthOf(bytes, pieceCount(SIZE))
    const { node, peerId, fetch } = await against(wrong, (id) => [joined(id, growth, pieceCount(SIZE))])
    expect((await fetch()).equals(bytes)).toBe(true)
    expect(node.observer.bans).toEqual([{ peerId, reason: 'wrong-bytes' }])
  })

  it.each<[string, (right: Growth, joinId: number) => Promise<Uint8Array[]>]>([
    [
      'sends hashes that it did not sign',
      async ({ envelope }, id) => [joined(id, { envelope, hashes: hashesOf(wrong) }, 5)]
    ],
    [
      'sends too few hashes',
      async ({ envelope, hashes }, id) => [joined(id, { envelope, hashes: hashes.subarray(32) }, 5)]
    ],
    [
      'sends a word that nobody signed',
      async ({ envelope, hashes }, id) => [joined(id, { envelope: envelope.with(90, 1), hashes }, 5)]
    ],
    [
      'sends the word on another blob',
      async (_right, id) => [joined(id, await growthOf(bytes, 5, { digest: digestOf(wrong) as Digest }), 5)]
    ],
    [
      'goes on with a word that nobody signed',
      async (_right, id) => {
        const [one, two] = [await growthOf(bytes, 1), await growthOf(bytes, 2, { from: 1 })]
        const have = { joinId: id, pieces: [1], growth: { ...two, envelope: two.envelope.with(90, 1) } }
        return [joined(id, one, 1), encodeHave(have)]
      }
    ]
  ])('%s is shut out, and the blob comes from elsewhere', async (_what, answers) => {
    const right = await growthOf(bytes, pieceCount(SIZE))
    const frames = new Map<number, readonly Uint8Array[]>()
    for (let id = 1; id < 50; id++) frames.set(id, await answers(right, id))
    const { node, peerId, fetch } = await against(bytes, (id) => frames.get(id) ?? [])
    expect((await fetch()).equals(bytes)).toBe(true)
    await until(() => node.observer.bans.length > 0)
    expect(node.observer.bans).toEqual([{ peerId, reason: 'malformed' }])
  })

  it('never has more than it said at first does not keep the blob from coming', async () => {
    const growth = await growthOf(bytes, 0)
    const { node, origin, fetch } = await against(bytes, (id) => [joined(id, growth, 0)])
    expect((await fetch()).equals(bytes)).toBe(true)
    expect([origin.givenBytes, node.observer.bans]).toEqual([SIZE, []])
  })

  it('contradicts itself as it goes on is left, and the rest comes from elsewhere', async () => {
    const [one, two] = [await growthOf(bytes, 1), await growthOf(wrong, 2, { from: 1 })]
    const { node, fetch } = await against(bytes, (id) => [
      joined(id, one, 1),
      encodeHave({ joinId: id, pieces: [1], growth: two })
    ])
    expect((await fetch()).equals(bytes)).toBe(true)
    expect(node.observer.bans).toEqual([])
  })

  it('offers pieces that it did not vouch for is not asked for them', async () => {
    const growth = await growthOf(bytes, 2)
    const { node, origin, fetch } = await against(bytes, (id) => [joined(id, growth, pieceCount(SIZE))])
    expect((await fetch()).equals(bytes)).toBe(true)
    expect(origin.givenBytes).toBeGreaterThanOrEqual(SIZE - 2 * MIB)
    expect(node.observer.bans).toEqual([])
  })

  it('says the same a thousand times is left, and costs nobody the blob', async () => {
    const growth = await growthOf(bytes, 1)
    const again = (joinId: number) => encodeHave({ joinId, pieces: [0], growth })
    const { fetch } = await against(bytes, (id) => [
      joined(id, growth, 1),
      ...Array.from({ length: 1_000 }, () => again(id))
    ])
    expect((await fetch()).equals(bytes)).toBe(true)
  })

  it('vouches for other pieces than a node brings in at that moment is left, and not blamed', async () => {
    const growth = await growthOf(wrong, pieceCount(SIZE))
    const begun = Promise.withResolvers<void>()
    const answers = (id: number) => [joined(id, growth, pieceCount(SIZE))]
    const { node, origin, fetch } = await against(wrong, answers, { answersAfter: begun.promise })
    origin.options = { chunkMs: 10 }
    const reading = fetch()
    await until(() => origin.givenBytes > 2.5 * MIB)
    begun.resolve()
    expect((await reading).equals(bytes)).toBe(true)
    expect([node.observer.receivedBytes, node.observer.bans]).toEqual([0, []])
  })

  it('is not believed in what no origin has', async () => {
    const growth = await growthOf(bytes, pieceCount(SIZE))
    const { node, peerId } = await against(bytes, (id) => [joined(id, growth, pieceCount(SIZE))])
    expect(await node.mesh.fetch(digest, { size: SIZE, candidates: [peerId] }, soon())).toBeUndefined()
  })
})
