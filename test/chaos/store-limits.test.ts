import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'

const LEASE_MS = 500
const GRACE_MS = 1_000
const QUOTA_BYTES = 16 * MIB
const STORE = {
  maxSize: `${QUOTA_BYTES / MIB}MiB`,
  lease: `${LEASE_MS}ms`,
  garbage: { every: '0s', grace: `${GRACE_MS}ms` }
}
const SETTINGS = { store: STORE }

const sandbox = useSandbox()

function command(node: MeshNode, ...args: string[]): Promise<string> {
  return runOk(LAYERMESH, [...args, '--admin', node.adminUrl, '--data', node.dataDirectory])
}

/** What was just pulled stays for the time of a lease, and is in the way until then. */
async function pullOnceThereIsRoom(node: MeshNode, blob: KnownBlob): Promise<void> {
  await eventually(`${node.name} has room`, HANG_MS, async () => (await blob.pull(node).end).whole || undefined)
}

test('a node makes room for what is pulled, brings what it removed again, and keeps what is pinned', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'room-seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'room', join: [seed], seed, settings: SETTINGS })
  const blobs = Array.from({ length: 6 }, (_, index) => new KnownBlob(`room-${index}`, 4 * MIB))
  const [pinned, removed] = blobs as [KnownBlob, KnownBlob]
  for (const blob of blobs) await blob.push(seed)
  expect(await command(node, 'pin', `${node.registryHost}/${pinned.repository}:1`)).toContain('stays')
  await command(node, 'pull', `${pinned.repository}:1`)

  for (const blob of blobs) {
    await pullOnceThereIsRoom(node, blob)
    expect((await node.status()).store.bytes).toBeLessThanOrEqual(QUOTA_BYTES)
  }
  expect(await node.metric('layermesh_store_removed_bytes_total', { reason: 'quota' })).toBeGreaterThan(0)
  expect(await node.metric('layermesh_store_limit_bytes')).toBe(QUOTA_BYTES)
  expect(await node.metric('layermesh_store_pinned_bytes')).toBeGreaterThan(pinned.size)
  const before = await node.receivedFromPeers()
  await pullOnceThereIsRoom(node, removed)
  expect((await node.receivedFromPeers()) - before).toBe(removed.size)

  await seed.kill()
  expect(await pinned.pull(node).end).toMatchObject({ status: 200, whole: true })
  expect(await command(node, 'pins')).toContain(`${pinned.repository}:1`)
  await command(node, 'unpin', `${pinned.repository}:1`)
  expect(await command(node, 'pins')).toContain('no image is pinned')
})

test('a seed removes nothing that was pushed to it, says when it is full, and has room once garbage is collected', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'full-of-own', role: 'seed', settings: SETTINGS })
  const [first, second, third] = ['first', 'second', 'third'].map((name) => new KnownBlob(`own-${name}`, 6 * MIB)) as [
    KnownBlob,
    KnownBlob,
    KnownBlob
  ]
  for (const blob of [first, second]) await blob.push(seed)
  await sleep(LEASE_MS)
  for (let attempt = 0; attempt < 2; attempt++) await expect(third.push(seed)).rejects.toThrow(/503/)
  expect(seed.process.log.findAll(/"msg":"the store is full/)).toHaveLength(1)
  expect((await seed.status()).store).toMatchObject({ full: true, limitBytes: QUOTA_BYTES })
  expect(await seed.metric('layermesh_store_full')).toBe(1)
  for (const blob of [first, second]) expect(await blob.pull(seed).end).toMatchObject({ status: 200, whole: true })

  const tag = await request(`${seed.registryUrl}/v2/${first.repository}/manifests/1`, { method: 'HEAD' })
  const digest = tag.headers.get('docker-content-digest')
  const url = `${seed.registryUrl}/v2/${first.repository}/manifests/${digest}`
  expect((await request(url, { method: 'DELETE' })).status).toBe(202)
  await sleep(2 * GRACE_MS)
  const dry = JSON.parse(await command(seed, 'gc', '--dry-run', '--json'))
  expect(dry).toMatchObject({ complete: true, bytes: expect.any(Number) })
  expect(dry.bytes).toBeGreaterThanOrEqual(first.size)
  expect((await seed.status()).store.bytes).toBeGreaterThan(first.size + second.size)
  const done = JSON.parse(await command(seed, 'gc', '--json'))
  expect(done).toMatchObject({ bytes: dry.bytes, blobs: dry.blobs, unlinked: dry.unlinked })

  await eventually('the seed takes pushes again', HANG_MS, async () => {
    return third.push(seed).then(
      () => true,
      () => undefined
    )
  })
  for (const blob of [second, third]) expect(await blob.pull(seed).end).toMatchObject({ status: 200, whole: true })
  expect(await first.pull(seed).end).toMatchObject({ status: 404 })
  expect(await seed.metric('layermesh_store_removed_bytes_total', { reason: 'garbage' })).toBe(dry.bytes)
})
