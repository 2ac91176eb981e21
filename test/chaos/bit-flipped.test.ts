import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'

/** A piece of a blob of up to 64 MiB. */
const PIECE_BYTES = MIB
const BAD_PIECE = 5

const sandbox = useSandbox()

test('a node whose disk flipped a bit fetches that piece anew, and its clients get right bytes', async () => {
  const blob = new KnownBlob('flipped-at-node', 16 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'healing-seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'healing-node', join: [seed], seed })
  await blob.push(seed)
  await pullToStore(node, blob)

  await flipBit(node, blob.digest)
  const before = await node.receivedFromPeers()
  await pullToStore(node, blob)
  expect((await node.receivedFromPeers()) - before).toBe(PIECE_BYTES)
  await node.process.waitForLine(corruptionOf(blob), HANG_MS)

  await node.stop()
  await flipBit(node, blob.digest)
  await node.restart()
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  expect(await node.receivedFromPeers()).toBe(PIECE_BYTES)
  await node.process.waitForLine(corruptionOf(blob), HANG_MS)
})

test('a node whose disk flipped a bit gives its peers right bytes or none', async () => {
  const blob = new KnownBlob('flipped-at-peer', 16 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'peer-seed', role: 'seed' })
  const damaged = await MeshNode.start(sandbox, { name: 'peer-damaged', join: [seed], seed })
  const node = await MeshNode.start(sandbox, { name: 'peer-node', join: [damaged], seed })
  await blob.push(seed)
  await pullToStore(damaged, blob)

  await flipBit(damaged, blob.digest)
  // Until then the damaged node is the only one that answers.
  seed.process.signal('SIGSTOP')
  const pull = blob.pull(node)
  await damaged.process.waitForLine(corruptionOf(blob), HANG_MS)
  seed.process.signal('SIGCONT')
  expect(await pull.end).toMatchObject({ status: 200, whole: true })
  expect(node.process.log.find(/banned a peer/)).toBeUndefined()
})

test.each([
  { when: 'while it runs', restarted: false },
  { when: 'while it is stopped', restarted: true }
])('a seed whose disk flips a bit $when, with nobody to ask, gives an error instead of the piece', async (given) => {
  const name = given.restarted ? 'alone-restarted' : 'alone-running'
  const blob = new KnownBlob(name, 16 * MIB)
  const intact = new KnownBlob(`${name}-intact`, MIB)
  const seed = await MeshNode.start(sandbox, { name, role: 'seed' })
  await blob.push(seed)
  await intact.push(seed)

  if (given.restarted) await seed.stop()
  await flipBit(seed, blob.digest)
  if (given.restarted) await seed.restart()
  const cut = await blob.pull(seed).end
  expect(cut.whole).toBe(false)
  expect(cut.bytes).toBeLessThanOrEqual(BAD_PIECE * PIECE_BYTES)
  await seed.process.waitForLine(corruptionOf(blob), HANG_MS)
  const again = await blob.pull(seed).end
  expect(again).toMatchObject({ bytes: 0, status: expect.toSatisfy((status) => status >= 400) })
  expect(await intact.pull(seed).end).toMatchObject({ status: 200, whole: true })

  // Who still has the image can push it again.
  await blob.push(seed)
  expect(await blob.pull(seed).end).toMatchObject({ status: 200, whole: true })
})

test('a seed whose disk flipped a bit fetches the piece from a node that has it', async () => {
  const blob = new KnownBlob('flipped-at-seed', 16 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'healed-seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'healed-node', join: [seed], seed })
  await blob.push(seed)
  await pullToStore(node, blob)

  await flipBit(seed, blob.digest)
  expect(await blob.pull(seed).end).toMatchObject({ status: 200, whole: true })
  expect(await seed.receivedFromPeers()).toBe(PIECE_BYTES)
})

/** Pulls a blob, and waits until the node has it whole: its client has the last byte a moment earlier. */
async function pullToStore(node: MeshNode, blob: KnownBlob): Promise<void> {
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  await eventually(`${node.name} keeps the blob`, HANG_MS, async () => {
    return (await node.status()).store.arriving === 0 || undefined
  })
}

/** Flips one bit of a stored blob on the disk, in the middle of {@link BAD_PIECE}. */
async function flipBit(node: MeshNode, digest: Digest): Promise<void> {
  const hex = digestHex(digest)
  const path = join(node.dataDirectory, 'content/blobs', digestAlgorithm(digest), hex.slice(0, 2), hex)
  const file = await open(path, 'r+')
  try {
    const position = BAD_PIECE * PIECE_BYTES + PIECE_BYTES / 2
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, position)
    byte.writeUInt8(byte.readUInt8() ^ 0b100)
    await file.write(byte, 0, 1, position)
  } finally {
    await file.close()
  }
}

function corruptionOf({ digest }: KnownBlob): RegExp {
  return new RegExp(`"level":"error".*${digest}.*the disk holds other bytes than were stored`)
}
