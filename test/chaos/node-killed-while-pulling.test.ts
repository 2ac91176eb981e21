import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'

const DURABLE_TIMEOUT_MS = 30_000

const sandbox = useSandbox()

test('a node that is killed in the middle of a pull goes on from where it was', async () => {
  const blob = new KnownBlob('killed-puller', 48 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const link = await Link.to(sandbox, seed)
  const node = await MeshNode.start(sandbox, { name: 'node', join: [link], seed })
  await blob.push(seed)

  link.holdAfter(8 * MIB)
  const cut = blob.pull(node)
  await link.held()
  await eventually('the client gets the first bytes', DURABLE_TIMEOUT_MS, () => cut.bytes > 0 || undefined)
  const noted = await bytesOfMetadata(node)
  link.holdAfter(16 * MIB)
  await link.held()
  await eventually('the node notes what is durable', DURABLE_TIMEOUT_MS, async () => {
    return (await bytesOfMetadata(node)) > noted || undefined
  })
  await node.kill()
  expect(await cut.end).toMatchObject({ status: 200, whole: false })

  link.release()
  await node.restart()
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  const received = await node.receivedFromPeers()
  expect(received).toBeLessThan(blob.size)
  expect(received).toBeGreaterThan(0)
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
})

/** What the store has written of its metadata: it grows when pieces of a download have become durable. */
async function bytesOfMetadata(node: MeshNode): Promise<number> {
  const directory = join(node.dataDirectory, 'content/metadata')
  const logs = (await readdir(directory)).filter((name) => name.endsWith('.log'))
  const stats = await Promise.all(logs.map((name) => stat(join(directory, name))))
  return stats.reduce((sum, { size }) => sum + size, 0)
}
