import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { LAYERMESH, MeshNode, type NodeOptions } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { useSandbox } from '../support/sandbox.ts'

const sandbox = useSandbox()
const nodes: MeshNode[] = []
afterAll(() => Promise.all(nodes.map((node) => node.kill())))

async function start(options: NodeOptions): Promise<MeshNode> {
  const node = await MeshNode.start(sandbox, options)
  nodes.push(node)
  return node
}

/** A command of the node that runs on this data directory. */
const command = (node: MeshNode, ...args: string[]) => runOk(LAYERMESH, [...args, '--data', node.dataDirectory])

const peerCount = (node: MeshNode, count: number) =>
  eventually(`${node.name} has ${count} peers`, HANG_MS, async () => (await node.status()).peers === count || undefined)

const refusals = (node: MeshNode, reason: string) => node.metric('layermesh_connections_refused_total', { reason })

test('a peer that is revoked at the seed is out on all nodes, also while the seed is gone, until it is restored', async () => {
  const secret = join(sandbox.directory, 'secret')
  await writeFile(secret, randomBytes(32).toString('base64url'), { mode: 0o600 })
  const flags = ['--secret-file', secret]
  const seed = await start({ name: 'seed', role: 'seed', flags })
  const [near, far, stolen] = await Promise.all(
    ['near', 'far', 'stolen'].map((name) => start({ name, join: [seed], seed, flags }))
  )
  if (!near || !far || !stolen) throw new Error('none')
  await Promise.all([seed, near, far, stolen].map((node) => peerCount(node, 3)))

  await expect(command(near, 'peer', 'revoke', stolen.peerId)).rejects.toThrow('this node is no seed')
  await expect(command(seed, 'peer', 'revoke', seed.peerId)).rejects.toThrow('is trusted to sign')
  await command(seed, 'peer', 'revoke', stolen.peerId)

  await peerCount(stolen, 0)
  for (const node of [seed, near, far]) {
    await peerCount(node, 2)
    expect(await command(node, 'peer', 'list-revoked'), node.name).toContain(stolen.peerId)
    expect(await refusals(node, 'revoked'), node.name).toBeGreaterThan(0)
  }

  await seed.kill()
  await near.stop()
  await near.restart({ until: 'live' })
  expect(await command(near, 'peer', 'list-revoked')).toContain(stolen.peerId)
  await stolen.stop()
  await stolen.restart({ until: 'live' })
  expect((await stolen.status()).peers).toBe(0)

  await seed.restart()
  await command(seed, 'peer', 'restore', stolen.peerId)
  expect(await command(seed, 'peer', 'list-revoked')).toBe('no node is kept out\n')
})

test('tickets let single nodes in, until they are revoked', async () => {
  const admission = { mesh: { admission: 'ticket' } }
  const seed = await start({ name: 'ticket-seed', role: 'seed', settings: admission })
  const ticketFor = async (name: string): Promise<string> => {
    const data = await sandbox.makeDirectory(name)
    const peer = (await runOk(LAYERMESH, ['keys', 'show', '--data', data])).trim()
    const file = join(sandbox.directory, `${name}.ticket`)
    await command(seed, 'ticket', 'new', '--peer', peer, '--valid', '1h', '--out', file)
    return file
  }
  const member = async (name: string) => {
    const settings = { mesh: { admission: 'ticket', ticketFile: await ticketFor(name) } }
    return await start({ name, join: [seed], seed, settings })
  }
  const [first, second] = [await member('first'), await member('second')]
  await Promise.all([seed, first, second].map((node) => peerCount(node, 2)))

  const tickets = JSON.parse(await command(seed, 'ticket', 'list', '--json')) as { id: string; peerId: string }[]
  const { id = '' } = tickets.find(({ peerId }) => peerId === second.peerId) ?? {}
  await command(seed, 'ticket', 'revoke', id)
  await peerCount(second, 0)
  for (const node of [seed, first]) {
    await peerCount(node, 1)
    expect(await refusals(node, 'lapsed'), node.name).toBeGreaterThan(0)
  }
  await eventually('it knocks in vain', HANG_MS, async () => (await refusals(seed, 'not-a-member')) > 0 || undefined)

  await ticketFor('second')
  await Promise.all([seed, first, second].map((node) => peerCount(node, 2)))
})
