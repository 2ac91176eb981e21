import { expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'
import { bytesOfMetadata } from './support/metadata.ts'

const PIECE_BYTES = MIB

const sandbox = useSandbox()

test('a node that is killed in the middle of a pull goes on from where it was', async () => {
  const { blob, node, link } = await startPair('killed')
  link.holdAfter(8 * MIB)
  const cut = blob.pull(node)
  await link.held()
  await eventually('the client gets the first bytes', HANG_MS, () => cut.bytes > 0 || undefined)
  const noted = await bytesOfMetadata(node)
  link.holdAfter(16 * MIB)
  await link.held()
  await eventually('the node notes what is durable', HANG_MS, async () => {
    return (await bytesOfMetadata(node)) > noted || undefined
  })
  await node.kill()
  expect(await cut.end).toMatchObject({ status: 200, whole: false })

  link.release()
  await node.restart()
  await expectTheRestOnly(node, blob, PIECE_BYTES)
})

test('a node that is stopped in the middle of a pull loses nothing of what came', async () => {
  const { blob, node, link } = await startPair('stopped')
  link.holdAfter(16 * MIB)
  const cut = blob.pull(node)
  await link.held()
  await eventually('the client gets the first bytes', HANG_MS, () => cut.bytes > 0 || undefined)
  const { bytes } = (await node.status()).store
  await node.stop()
  expect(await cut.end).toMatchObject({ status: 200, whole: false })

  link.release()
  await node.restart()
  await expectTheRestOnly(node, blob, bytes)
})

/** A seed with a blob, and a node that gets it through a link. */
async function startPair(name: string): Promise<{ blob: KnownBlob; node: MeshNode; link: Link }> {
  const blob = new KnownBlob(`puller-${name}`, 48 * MIB)
  const seed = await MeshNode.start(sandbox, { name: `${name}-seed`, role: 'seed' })
  const link = await Link.to(sandbox, seed)
  const node = await MeshNode.start(sandbox, { name: `${name}-node`, join: [link], seed })
  await blob.push(seed)
  return { blob, node, link }
}

/** The node that was restarted still holds at least so much of the blob, and fetches what it lacks once. */
async function expectTheRestOnly(node: MeshNode, blob: KnownBlob, minHeldBytes: number): Promise<void> {
  const held = (await node.status()).store.bytes
  expect(held).toBeGreaterThanOrEqual(minHeldBytes)
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  expect(await node.receivedFromPeers()).toBeLessThanOrEqual(blob.size - held + PIECE_BYTES)
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
}
