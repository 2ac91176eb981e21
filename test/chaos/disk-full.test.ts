import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { describeUnless } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'
import { bytesOfMetadata } from './support/metadata.ts'
import { SmallDisk, whyNoMount } from './support/small-disk.ts'

const DISK_BYTES = 48 * MIB
const MIN_FREE_BYTES = 4 * MIB
const SETTINGS = { store: { minFree: `${MIN_FREE_BYTES / MIB}MiB` } }
const PIECE_BYTES = MIB
const NO_SPACE = /no space left on its disk/

const sandbox = useSandbox()

describeUnless(await whyNoMount(), 'on a full disk', () => {
  test('a node refuses the pull of what does not fit, and goes on with what does', async () => {
    const name = 'too-small'
    await SmallDisk.mount(sandbox, name, DISK_BYTES)
    const seed = await MeshNode.start(sandbox, { name: 'too-small-seed', role: 'seed' })
    const node = await MeshNode.start(sandbox, { name, join: [seed], seed, settings: SETTINGS })
    const large = new KnownBlob('too-large', DISK_BYTES)
    const [before, after] = [new KnownBlob('fits-before', 8 * MIB), new KnownBlob('fits-after', 8 * MIB)]
    for (const blob of [large, before, after]) await blob.push(seed)
    expect(await before.pull(node).end).toMatchObject({ status: 200, whole: true })

    expect(await large.pull(node).end).toMatchObject({
      status: 503,
      bytes: 0,
      message: expect.stringMatching(NO_SPACE)
    })

    expect((await request(`${node.adminUrl}/livez`)).status).toBe(200)
    expect(await before.pull(node).end).toMatchObject({ status: 200, whole: true })
    expect(await after.pull(node).end).toMatchObject({ status: 200, whole: true })
  })

  test('a node whose disk fills in the middle of a pull cuts it, serves what it has, and ends it later', async () => {
    const name = 'filling'
    const disk = await SmallDisk.mount(sandbox, name, DISK_BYTES)
    const seed = await MeshNode.start(sandbox, { name: 'filling-seed', role: 'seed' })
    const link = await Link.to(sandbox, seed)
    const node = await MeshNode.start(sandbox, { name, join: [link], seed, settings: SETTINGS })
    const [blob, kept] = [new KnownBlob('pulled-when-full', 24 * MIB), new KnownBlob('kept-when-full', 2 * MIB)]
    for (const each of [blob, kept]) await each.push(seed)
    expect(await kept.pull(node).end).toMatchObject({ status: 200, whole: true })

    link.holdAfter(8 * MIB)
    const cut = blob.pull(node)
    await link.held()
    await eventually('the client gets the first bytes', HANG_MS, () => cut.bytes > 0 || undefined)
    const noted = await bytesOfMetadata(node)
    link.holdAfter(4 * MIB)
    await link.held()
    await eventually('the node notes what is durable', HANG_MS, async () => {
      return (await bytesOfMetadata(node)) > noted || undefined
    })
    await disk.fill()
    link.release()
    expect(await cut.end).toMatchObject({ status: 200, whole: false })

    expect((await request(`${node.adminUrl}/livez`)).status).toBe(200)
    expect(await kept.pull(node).end).toMatchObject({ status: 200, whole: true })
    await eventually('the node says why', HANG_MS, async () => {
      const { whole, message } = await blob.pull(node).end
      expect(whole).toBe(false)
      return NO_SPACE.test(message) || undefined
    })

    const held = (await node.status()).store.bytes - kept.size
    expect(held).toBeGreaterThanOrEqual(PIECE_BYTES)
    const received = await node.receivedFromPeers()
    await disk.free()
    await eventually('pulls work again', HANG_MS, async () => (await blob.pull(node).end).whole || undefined)
    expect((await node.receivedFromPeers()) - received).toBeLessThanOrEqual(blob.size - held + PIECE_BYTES)
    const newcomer = await MeshNode.start(sandbox, { name: 'filling-newcomer', join: [node], seed })
    expect(await blob.pull(newcomer).end).toMatchObject({ status: 200, whole: true })
    await node.kill()
    await node.restart()
    for (const each of [blob, kept]) expect(await each.pull(node).end).toMatchObject({ status: 200, whole: true })
  })

  test('a seed refuses the push of what does not fit with a clear message, and loses nothing', async () => {
    const name = 'full-seed'
    const disk = await SmallDisk.mount(sandbox, name, DISK_BYTES)
    const seed = await MeshNode.start(sandbox, { name, role: 'seed', settings: SETTINGS })
    const [kept, large, later] = [
      new KnownBlob('kept-by-seed', 8 * MIB),
      new KnownBlob('too-large-for-seed', DISK_BYTES),
      new KnownBlob('pushed-later', 8 * MIB)
    ]
    await kept.push(seed)

    expect(await post(seed, large)).toMatchObject({ status: 503, message: expect.stringMatching(NO_SPACE) })
    expect(await kept.pull(seed).end).toMatchObject({ status: 200, whole: true })
    expect(await large.pull(seed).end).toMatchObject({ status: 404 })

    await disk.fill()
    expect(await post(seed, later)).toMatchObject({ status: 503, message: expect.stringMatching(NO_SPACE) })
    expect(await kept.pull(seed).end).toMatchObject({ status: 200, whole: true })
    expect(await later.pull(seed).end).toMatchObject({ status: 404 })
    expect((await request(`${seed.adminUrl}/livez`)).status).toBe(200)

    await disk.free()
    await eventually('pushes work again', HANG_MS, async () => (await post(seed, later)).status === 201 || undefined)
    await seed.kill()
    await seed.restart()
    for (const blob of [kept, later]) expect(await blob.pull(seed).end).toMatchObject({ status: 200, whole: true })
  })
})

/** Pushes a blob in one request (distribution-spec §Single POST); the answer may come before all bytes were sent. */
async function post(node: MeshNode, blob: KnownBlob): Promise<{ status: number | undefined; message: string }> {
  const url = `${node.registryUrl}/v2/${blob.repository}/blobs/uploads/?digest=${blob.digest}`
  const upload = httpRequest(url, { method: 'POST', agent: false })
  const answered = once(upload, 'response') as Promise<[IncomingMessage]>
  // The registry may stop listening once it has answered.
  upload.on('error', () => {})
  upload.end(blob.content)
  const [response] = await answered
  return { status: response.statusCode, message: await text(response) }
}
