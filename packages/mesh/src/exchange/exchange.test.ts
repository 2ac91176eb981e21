import { createHash, randomBytes } from 'node:crypto'
import { truncate } from 'node:fs/promises'
import { digestOf, ownRepository, pieceLengthFor } from '@layermesh/oci'
import { type PieceMap, sealPieceMap } from '@layermesh/trust'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { secretsAlone } from '../network/membership.ts'
import { hostilePeer, MISDEEDS, sendPiece } from '../testing/hostile-peer.ts'
import { MeshFixture, readAll, someBytes, store, until } from '../testing/mesh-fixture.ts'
import { encodeReject } from '../wire/frames.ts'

const MIB = 1024 * 1024
const soon = () => AbortSignal.timeout(120_000)

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

function mapOf(bytes: Uint8Array): PieceMap {
  const pieceLength = pieceLengthFor(bytes.byteLength)
  const pieces = Array.from({ length: Math.ceil(bytes.byteLength / pieceLength) }, (_, piece) =>
    bytes.subarray(piece * pieceLength, (piece + 1) * pieceLength)
  )
  const hashes = Buffer.concat(pieces.map((piece) => createHash('sha256').update(piece).digest()))
  return { digest: digestOf(bytes), length: bytes.byteLength, pieceLength, hashes }
}

/** A seed that holds a blob, and a way to make nodes that joined it and trust it. */
async function seedWith(bytes: Uint8Array) {
  const seed = await fixture.node()
  const digest = await store(seed.content, bytes)
  const joined = (more: readonly string[] = []) =>
    fixture.node({ seeds: [seed.mesh.peerId], join: [...seed.mesh.addresses, ...more] })
  return { seed, digest, joined }
}

describe('a blob comes from a peer', () => {
  it.each([
    ['empty', 0],
    ['of one byte', 1],
    ['of exactly one piece', MIB],
    ['of one piece and a byte', MIB + 1],
    ['of many pieces', 7 * MIB + 123]
  ])('%s', async (_what, length) => {
    const bytes = someBytes(length)
    const { seed, digest, joined } = await seedWith(bytes)
    const node = await joined()
    await until(() => node.mesh.connected().length > 0)
    expect((await readAll(await node.mesh.fetch(digest, {}, soon()))).equals(bytes)).toBe(true)
    await node.content.downloads.whole(digest, soon())
    expect([node.observer.receivedBytes, seed.observer.sentBytes]).toEqual([length, length])
  })

  it('once, however many ask for it at the same time', async () => {
    const bytes = someBytes(5 * MIB)
    const { digest, joined } = await seedWith(bytes)
    const node = await joined()
    await until(() => node.mesh.connected().length > 0)
    const readers = await Promise.all(Array.from({ length: 6 }, () => node.mesh.fetch(digest, {}, soon())))
    const all = await Promise.all(readers.map((reader) => readAll(reader)))
    expect(all.every((read) => read.equals(bytes))).toBe(true)
    expect(node.observer.receivedBytes).toBe(bytes.byteLength)
  })

  it('once, however many offer it, also when it is small', async () => {
    const bytes = someBytes(300_000)
    const { seed, digest, joined } = await seedWith(bytes)
    const holders = await Promise.all([joined(), joined(), joined()])
    for (const holder of holders) await store(holder.content, bytes)
    const node = await fixture.node({
      seeds: [seed.mesh.peerId],
      join: [seed, ...holders].flatMap(({ mesh }) => mesh.addresses)
    })
    await until(() => node.mesh.connected().length === 4)
    await readAll(await node.mesh.fetch(digest, {}, soon()))
    expect(node.observer.receivedBytes).toBe(bytes.byteLength)
  })

  it('from a node that is found by the DHT alone', async () => {
    const bytes = someBytes(3 * MIB)
    const { seed, digest, joined } = await seedWith(bytes)
    const first = await joined()
    await until(() => first.mesh.connected().length > 0)
    await readAll(await first.mesh.fetch(digest, {}, soon()))
    await first.content.downloads.whole(digest, soon())
    await seed.content.blobs.delete(digest)
    const second = await joined()
    await until(() => second.mesh.connected().length > 0)
    await expect.poll(async () => (await second.mesh.fetch(digest, {}, soon()))?.size).toBe(bytes.byteLength)
  })

  it('while it is still arriving there', async () => {
    const bytes = someBytes(6 * MIB)
    const { seed, digest, joined } = await seedWith(bytes)
    const middle = await joined()
    await until(() => middle.mesh.connected().length > 0)
    const reader = await middle.mesh.fetch(digest, {}, soon())
    const last = await fixture.node({ seeds: [seed.mesh.peerId], join: middle.mesh.addresses })
    await until(() => last.mesh.connected().length > 0)
    const [one, two] = await Promise.all([
      readAll(reader),
      last.mesh.fetch(digest, { candidates: [middle.mesh.peerId] }, soon()).then((found) => readAll(found))
    ])
    expect(one.equals(bytes) && two.equals(bytes)).toBe(true)
  })

  it('from one who asked for it at the same moment, before either had anything of it', async () => {
    const bytes = someBytes(4 * MIB)
    const digest = digestOf(bytes)
    const seed = await fixture.node()
    const pieceMap = await sealPieceMap(mapOf(bytes), seed.privateKey)
    const bothAsked = Promise.withResolvers<void>()
    let favourite = ''
    // It gives to one of the two, and refuses the other because that one has been given it.
    const holder = await hostilePeer(
      fixture,
      { digest, bytes, pieceMap, pieceLength: MIB, answersAfter: bothAsked.promise },
      (stream, requestId, piece, asker) => {
        favourite ||= asker
        if (asker === favourite) sendPiece(stream, requestId, piece)
        else stream.send(encodeReject(requestId, 'given'))
      }
    )
    const one = await fixture.node({ seeds: [seed.mesh.peerId], join: [holder.address] })
    const other = await fixture.node({ seeds: [seed.mesh.peerId], join: [holder.address, ...one.mesh.addresses] })
    await until(() => one.mesh.connected().length === 2 && other.mesh.connected().length === 2)
    const fetching = [one, other].map((node) => node.mesh.fetch(digest, { candidates: [holder.peerId] }, soon()))
    await until(() => holder.askers() === 2)
    bothAsked.resolve()
    const all = await Promise.all(fetching.map(async (found) => readAll(await found)))
    expect(all.every((read) => read.equals(bytes))).toBe(true)
  })

  it('is not told to who asks within a repository that does not have it', async () => {
    const { seed, digest, joined } = await seedWith(someBytes(1000))
    const node = await joined()
    await until(() => node.mesh.connected().length > 0)
    const authorities = [seed.mesh.peerId]
    expect(await node.mesh.confirm({ digest, repository: ownRepository('other/app'), authorities }, soon())).toEqual([])
    expect(await node.mesh.confirm({ digest, repository: fixture.repository, authorities }, soon())).toEqual(
      authorities
    )
  })

  it('that nobody has is reported once all have been asked', async () => {
    const { seed } = await seedWith(someBytes(10))
    const node = await fixture.node({ join: seed.mesh.addresses, findWithinMs: 600_000 })
    await until(() => node.mesh.connected().length > 0)
    expect(await node.mesh.fetch(digestOf(randomBytes(8)), {}, soon())).toBeUndefined()
  })

  it('does not come from a mesh with another secret', async () => {
    const bytes = someBytes(100)
    const seed = await fixture.node({ membership: secretsAlone([Buffer.alloc(32, 1)]) })
    const digest = await store(seed.content, bytes)
    const stranger = await fixture.node({ membership: secretsAlone([Buffer.alloc(32, 2)]), join: seed.mesh.addresses })
    const member = await fixture.node({ membership: secretsAlone([Buffer.alloc(32, 1)]), join: seed.mesh.addresses })
    await until(() => member.mesh.connected().length > 0)
    expect((await readAll(await member.mesh.fetch(digest, {}, soon()))).equals(bytes)).toBe(true)
    expect(await stranger.mesh.fetch(digest, { candidates: [seed.mesh.peerId] }, soon())).toBeUndefined()
    expect(stranger.mesh.connected()).toEqual([])
  })
})

describe('a peer that sends', () => {
  it.each(Object.entries(MISDEEDS))('%s is banned, and the blob comes right from another', async (_what, misdeed) => {
    const bytes = someBytes(4 * MIB)
    const digest = digestOf(bytes)
    const seed = await fixture.node()
    const pieceMap = await sealPieceMap(mapOf(bytes), seed.privateKey)
    const hostile = await hostilePeer(fixture, { digest, bytes, pieceMap, pieceLength: MIB }, misdeed)
    const node = await fixture.node({ seeds: [seed.mesh.peerId], join: [...seed.mesh.addresses, hostile.address] })
    await until(() => node.mesh.connected().length >= 2)
    const fetching = node.mesh.fetch(digest, { candidates: [hostile.peerId] }, soon())
    // The seed gets the blob only now, so that the hostile peer is asked in any case.
    await until(() => hostile.asked() > 0)
    await store(seed.content, bytes)
    expect((await readAll(await fetching)).equals(bytes)).toBe(true)
    await node.content.downloads.whole(digest, soon())
    await until(() => node.observer.bans.length > 0)
    expect(new Set(node.observer.bans.map(({ peerId }) => peerId))).toEqual(new Set([hostile.peerId]))
    await until(() => !node.mesh.connected().includes(hostile.peerId))
  })

  it('a small blob with wrong bytes is banned, and the blob comes right from another', async () => {
    const bytes = someBytes(5000)
    const digest = digestOf(bytes)
    const seed = await fixture.node()
    const hostile = await hostilePeer(fixture, { digest, bytes, pieceLength: MIB }, MISDEEDS['wrong bytes'])
    const node = await fixture.node({ seeds: [seed.mesh.peerId], join: [...seed.mesh.addresses, hostile.address] })
    await until(() => node.mesh.connected().length >= 2)
    expect(await node.mesh.fetch(digest, { candidates: [hostile.peerId] }, soon())).toBeUndefined()
    expect(node.observer.bans).toEqual([{ peerId: hostile.peerId, reason: 'wrong-bytes' }])
    await store(seed.content, bytes)
    expect((await readAll(await node.mesh.fetch(digest, {}, soon()))).equals(bytes)).toBe(true)
  })

  it('a piece map of its own for other bytes is convicted, and not a byte of it reaches the client', async () => {
    const bytes = someBytes(3 * MIB)
    const lie = someBytes(3 * MIB, 99)
    const digest = digestOf(bytes)
    const liar = await fixture.node()
    const pieceMap = await sealPieceMap({ ...mapOf(lie), digest }, liar.privateKey)
    const hostile = await hostilePeer(fixture, { digest, bytes: lie, pieceMap, pieceLength: MIB }, sendPiece)
    const node = await fixture.node({ join: [hostile.address] })
    await until(() => node.mesh.connected().length > 0)
    const got: Uint8Array[] = []
    await expect(
      (async () => {
        const reader = await node.mesh.fetch(digest, { candidates: [hostile.peerId] }, soon())
        for await (const chunk of reader?.read({ start: 0, end: bytes.byteLength }) ?? []) got.push(chunk)
      })()
    ).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect(got).toEqual([])
    await until(() => node.observer.bans.length > 0)
    expect(node.observer.bans).toEqual([{ peerId: liar.mesh.peerId, reason: 'wrong-map' }])
    expect(await node.content.blobs.stat(digest)).toBeUndefined()
  })
})

describe('an honest peer', () => {
  it('whose disk lost some of a blob is not banned, and the blob comes once it has it again', async () => {
    const bytes = someBytes(3 * MIB)
    const { seed, digest, joined } = await seedWith(bytes)
    const node = await joined()
    await until(() => node.mesh.connected().length > 0)
    await truncate(seed.blobFile(digest), MIB)
    expect(await node.mesh.fetch(digest, {}, soon())).toBeUndefined()
    expect(node.observer.bans).toEqual([])
    await store(seed.content, bytes)
    expect((await readAll(await node.mesh.fetch(digest, {}, soon()))).equals(bytes)).toBe(true)
  })

  it('that tells of all its pieces right behind an offer of none is asked for them', async () => {
    const bytes = someBytes(3 * MIB)
    const digest = digestOf(bytes)
    const seed = await fixture.node()
    const pieceMap = await sealPieceMap(mapOf(bytes), seed.privateKey)
    const peer = await hostilePeer(fixture, { digest, bytes, pieceMap, pieceLength: MIB, tellsLater: true }, sendPiece)
    const node = await fixture.node({ seeds: [seed.mesh.peerId], join: [peer.address] })
    await until(() => node.mesh.connected().length > 0)
    const read = await readAll(await node.mesh.fetch(digest, { candidates: [peer.peerId] }, soon()))
    expect(read.equals(bytes)).toBe(true)
  })
})

describe('a peer that goes away', () => {
  it('in the middle of a blob is replaced by another, unseen by the reader', async () => {
    const bytes = someBytes(24 * MIB)
    const { seed, digest, joined } = await seedWith(bytes)
    const holder = await joined()
    await until(() => holder.mesh.connected().length > 0)
    await readAll(await holder.mesh.fetch(digest, {}, soon()))
    await holder.content.downloads.whole(digest, soon())
    const node = await joined(holder.mesh.addresses)
    await until(() => node.mesh.connected().length >= 2)
    const reader = await node.mesh.fetch(digest, { candidates: [holder.mesh.peerId] }, soon())
    const parts: Uint8Array[] = []
    for await (const chunk of reader?.read({ start: 0, end: bytes.byteLength }) ?? []) {
      if (parts.length === 0) await seed.mesh.stop()
      parts.push(chunk)
    }
    expect(Buffer.concat(parts).equals(bytes)).toBe(true)
    expect(node.observer.bans).toEqual([])
  })
})
