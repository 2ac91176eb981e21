import { digestOf } from '@layermesh/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FakeOrigin } from '../testing/fake-origin.ts'
import { MeshFixture, readAll, someBytes } from '../testing/mesh-fixture.ts'

const MIB = 1024 * 1024
const soon = () => AbortSignal.timeout(120_000)

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

describe('a blob that no peer has comes from its origin', () => {
  it.each([
    ['empty', 0],
    ['of one byte', 1],
    ['of exactly one piece', MIB],
    ['of one piece and a byte', MIB + 1],
    ['of many pieces', 5 * MIB + 123]
  ])('%s', async (_what, length) => {
    const bytes = someBytes(length)
    const digest = digestOf(bytes)
    const origin = new FakeOrigin(bytes)
    const node = await fixture.node()
    expect((await readAll(await node.mesh.fetch(digest, { origin }, soon()))).equals(bytes)).toBe(true)
    await node.content.downloads.whole(digest, soon())
    expect([origin.starts, origin.givenBytes, node.observer.upstreamBytes]).toEqual([[0], length, length])
    expect(node.mesh.transferOf(digest)?.sources).toEqual(length === 0 ? [] : [{ origin: origin.name, bytes: length }])
  })

  it('once, however many ask for it at the same time', async () => {
    const bytes = someBytes(3 * MIB)
    const origin = new FakeOrigin(bytes)
    const node = await fixture.node()
    const readers = await Promise.all(
      Array.from({ length: 6 }, () => node.mesh.fetch(digestOf(bytes), { origin }, soon()))
    )
    const all = await Promise.all(readers.map((reader) => readAll(reader)))
    expect(all.every((read) => read.equals(bytes))).toBe(true)
    expect(origin.givenBytes).toBe(bytes.byteLength)
  })

  it('and is read while it comes', async () => {
    const bytes = someBytes(3 * MIB)
    const origin = new FakeOrigin(bytes, { silentAt: 2 * MIB })
    const node = await fixture.node()
    const reader = await node.mesh.fetch(digestOf(bytes), { origin }, soon())
    const parts: Uint8Array[] = []
    for await (const chunk of reader?.read({ start: 0, end: MIB }) ?? []) parts.push(chunk)
    expect(Buffer.concat(parts).equals(bytes.subarray(0, MIB))).toBe(true)
  })

  it('from where an earlier attempt broke off', async () => {
    const bytes = someBytes(4 * MIB)
    const digest = digestOf(bytes)
    const origin = new FakeOrigin(bytes, { cutAt: 2 * MIB })
    const node = await fixture.node()
    await expect(node.mesh.fetch(digest, { origin }, soon()).then((reader) => readAll(reader))).rejects.toThrow()
    origin.options = {}
    expect((await readAll(await node.mesh.fetch(digest, { origin }, soon()))).equals(bytes)).toBe(true)
    expect(origin.starts).toEqual([0, 0, 2 * MIB])
    // The second attempt opens it once to learn the length.
    expect(origin.givenBytes).toBe(bytes.byteLength)
  })
})

describe('an origin that', () => {
  const bytes = someBytes(2 * MIB + 5)
  const digest = digestOf(bytes)

  it.each([
    ['does not have the blob', new FakeOrigin(undefined)],
    ['throws', new FakeOrigin(undefined, { refusal: new Error('denied') })],
    ['has another length than the descriptor says', new FakeOrigin(bytes.subarray(1))],
    ['says another length', new FakeOrigin(bytes, { size: bytes.byteLength + 1 })]
  ])('%s makes the answer that nobody has it', async (_what, origin) => {
    const node = await fixture.node()
    expect(await node.mesh.fetch(digest, { origin, size: bytes.byteLength }, soon())).toBeUndefined()
  })

  it('has more than may be taken makes the answer that nobody has it', async () => {
    const node = await fixture.node()
    const request = { origin: new FakeOrigin(bytes), maxBytes: MIB }
    expect(await node.mesh.fetch(digest, request, soon())).toBeUndefined()
  })

  it('gives wrong bytes of a small blob makes the answer that nobody has it', async () => {
    const node = await fixture.node()
    const small = someBytes(1000)
    const origin = new FakeOrigin(someBytes(1000, 2))
    expect(await node.mesh.fetch(digestOf(small), { origin }, soon())).toBeUndefined()
  })

  it.each([
    ['gives wrong bytes', new FakeOrigin(someBytes(2 * MIB + 5, 2))],
    ['gives less than it said', new FakeOrigin(bytes.subarray(0, 2 * MIB), { size: bytes.byteLength })],
    ['breaks off', new FakeOrigin(bytes, { cutAt: MIB })]
  ])('%s ends the download, and nothing of it counts as the blob', async (_what, origin) => {
    const node = await fixture.node()
    const reader = await node.mesh.fetch(digest, { origin, size: bytes.byteLength }, soon())
    await expect(readAll(reader)).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect(await node.content.blobs.stat(digest)).toBeUndefined()
    // The right bytes come at the next attempt.
    const again = await node.mesh.fetch(digest, { origin: new FakeOrigin(bytes) }, soon())
    expect((await readAll(again)).equals(bytes)).toBe(true)
  })

  it('gives more than it said has the rest left', async () => {
    const node = await fixture.node()
    const origin = new FakeOrigin(Buffer.concat([bytes, someBytes(3 * MIB)]), { size: bytes.byteLength })
    expect((await readAll(await node.mesh.fetch(digest, { origin }, soon()))).equals(bytes)).toBe(true)
  })
})
