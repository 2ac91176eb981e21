import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, putBlob, putImage } from './support/client.ts'

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
})

const status = async (registry: MeshNode, path: string, method = 'GET') => (await ask(registry, method, path)).status

// CVE-2026-35172 (distribution): one cache for all repositories brought a deleted blob back to the one that had deleted it.
test('a blob that was deleted in one repository does not come back when another gets it', async () => {
  const content = Buffer.from('deleted in a, pushed in b')
  const digest = await putBlob(seed, 'team/a', content)
  expect(await status(seed, `/v2/team/a/blobs/${digest}`)).toBe(200)
  expect(await status(seed, `/v2/team/a/blobs/${digest}`, 'DELETE')).toBe(202)
  await putBlob(seed, 'team/b', content)
  expect(await status(seed, `/v2/team/b/blobs/${digest}`)).toBe(200)
  for (const method of ['GET', 'HEAD', 'DELETE']) {
    expect(await status(seed, `/v2/team/a/blobs/${digest}`, method), method).toBe(404)
  }
  expect(await status(node, `/v2/team/a/blobs/${digest}`)).toBe(404)
  expect(await status(node, `/v2/team/b/blobs/${digest}`)).toBe(200)
  expect(await status(node, `/v2/team/a/blobs/${digest}`)).toBe(404)
})

test('a manifest and its tags that were deleted do not come back when another repository gets them', async () => {
  const layer = Buffer.from('a layer')
  const { digest } = await putImage(seed, 'team/a', '1', layer)
  expect(await status(seed, `/v2/team/a/manifests/${digest}`, 'DELETE')).toBe(202)
  await putImage(seed, 'team/b', '1', layer)
  for (const reference of ['1', digest]) {
    expect(await status(seed, `/v2/team/a/manifests/${reference}`), reference).toBe(404)
    expect(await status(node, `/v2/team/a/manifests/${reference}`), reference).toBe(404)
    expect(await status(node, `/v2/team/b/manifests/${reference}`), reference).toBe(200)
    expect(await status(node, `/v2/team/a/manifests/${reference}`), reference).toBe(404)
  }
})

// CVE-2026-41888 (distribution): deletes were off for manifests and blobs, and on for tags.
test.each([
  ['deletes are off', { deletes: false }],
  ['it is read-only', { readOnly: true }]
])('nothing can be deleted where %s, be it by tag or digest, here or through another node', async (_, registry) => {
  const name = 'deletes' in registry ? 'no-deletes' : 'read-only'
  const mine = await MeshNode.start(sandbox, { name, role: 'seed', settings: { registry: { deletes: true } } })
  const { digest, layer } = await putImage(mine, 'team/app', '1', Buffer.from('kept'))
  await mine.stop()
  const closed = await MeshNode.start(sandbox, { name, role: 'seed', settings: { registry } })
  const open = await MeshNode.start(sandbox, { name: `${name}-node`, join: [closed], seed: closed })
  const targets = ['manifests/1', `manifests/${digest}`, `blobs/${layer.digest}`]
  for (const target of targets) {
    for (const through of [closed, open]) {
      expect(await status(through, `/v2/team/app/${target}`, 'DELETE'), `${target} through ${through.name}`).not.toBe(
        202
      )
    }
  }
  if ('readOnly' in registry) {
    for (const [method, target] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/2'],
      ['PATCH', 'blobs/uploads/x'],
      ['PUT', 'blobs/uploads/x']
    ] as const) {
      expect(await status(closed, `/v2/team/app/${target}`, method), target).toBe(405)
    }
    await expect(putImage(open, 'team/app', '2', Buffer.from('through a node'))).rejects.toThrow()
  }
  for (const target of targets) {
    expect(await status(closed, `/v2/team/app/${target}`), target).toBe(200)
    expect(await status(closed, `/v2/team/app/${target}`, 'DELETE'), target).toBe(405)
  }
})
