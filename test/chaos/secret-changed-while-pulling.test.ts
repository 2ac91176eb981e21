import { randomBytes } from 'node:crypto'
import { rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode, type NodeOptions } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'

const BLOB_BYTES = 48 * MIB
/** So slow that the blob is on its way while all of it happens. */
const UPLOAD = '2MiB/s'
const NODES = ['a', 'b', 'c']

const sandbox = useSandbox()
const nodes: MeshNode[] = []
afterAll(() => Promise.all(nodes.map((node) => node.kill())))

const fileOf = (name: string) => path.join(sandbox.directory, `${name}.secret`)
const newSecret = () => randomBytes(32).toString('base64url')

/** Puts another file in place in one step, as Kubernetes does. */
async function place(name: string, secrets: readonly string[]): Promise<void> {
  await writeFile(`${fileOf(name)}.new`, `${secrets.join('\n')}\n`, { mode: 0o600 })
  await rename(`${fileOf(name)}.new`, fileOf(name))
}

async function start(name: string, seed?: MeshNode, rest: Partial<NodeOptions> = {}): Promise<MeshNode> {
  const flags = ['--secret-file', fileOf(name)]
  const settings = { limits: { upload: UPLOAD } }
  const role = seed ? 'node' : 'seed'
  const join = seed && { join: [seed], seed }
  const node = await MeshNode.start(sandbox, { name, role, flags, settings, ...join, ...rest })
  nodes.push(node)
  return node
}

/** Gives each node other secrets, one after the other, and waits until it has taken them. */
async function roll(mesh: readonly MeshNode[], secretsOf: (index: number) => readonly string[]): Promise<void> {
  for (const [index, node] of mesh.entries()) {
    const before = taken(node)
    await place(node.name, secretsOf(index))
    await eventually(`${node.name} takes its secrets`, HANG_MS, () => taken(node) > before || undefined)
  }
}

const taken = (node: MeshNode) => node.process.log.findAll(/took the new cluster secrets/).length

const refused = (node: MeshNode, reason: string) => node.metric('layermesh_connections_refused_total', { reason })

test('a mesh goes from one secret to the next while blobs are pulled', async () => {
  const [old, next] = [newSecret(), newSecret()]
  for (const name of ['seed', ...NODES]) await place(name, [old])
  const seed = await start('seed')
  const blob = new KnownBlob('rotated', BLOB_BYTES)
  await blob.push(seed)
  const others = await Promise.all(NODES.map((name) => start(name, seed)))
  const mesh = [seed, ...others]

  const pulls = others.map((node) => blob.pull(node).end)
  // In which order the two stand differs from node to node, as it would in a roll-out that was done by hand.
  await roll(mesh, (index) => (index % 2 ? [old, next] : [next, old]))
  await roll(mesh, () => [next])
  await place('late', [next])
  await start('late', seed)

  for (const end of await Promise.all(pulls)) expect(end).toMatchObject({ status: 200, whole: true })
  await eventually('connections by the old secret ended', HANG_MS, async () => {
    const lapsed = await Promise.all(mesh.map((node) => refused(node, 'lapsed')))
    return lapsed.reduce((sum, count) => sum + count) >= NODES.length || undefined
  })
  for (const node of mesh) {
    await eventually(`${node.name} has its peers again`, HANG_MS, async () => {
      return (await node.status()).peers >= NODES.length || undefined
    })
  }
  await place('behind', [old])
  await expect(start('behind', seed, { startTimeoutMs: 10_000 })).rejects.toThrow()
  await eventually('the seed refuses it', HANG_MS, async () => {
    return (await refused(seed, 'not-a-member')) > 0 || undefined
  })
})
