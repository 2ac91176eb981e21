import { type Descriptor, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { noise } from '../support/images/noise.ts'
import { LAYERMESH, MeshNode, type NodeOptions } from '../support/node.ts'
import { type RunResult, run } from '../support/process.ts'
import { pushImage } from '../support/registry-client.ts'
import { describeUnless } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../support/upstream/docker-registry.ts'

const MIB = 1024 * 1024

const sandbox = useSandbox()
let seed: MeshNode
let east: readonly [MeshNode, MeshNode]
let west: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', flags: ['--zone', 'home'] })
  const start = (name: string, zone: string, options: Partial<NodeOptions> = {}) =>
    MeshNode.start(sandbox, { name, join: [seed], seed, flags: ['--zone', zone], ...options })
  east = [await start('east-1', 'east'), await start('east-2', 'east')]
  west = await start('west-1', 'west', { settings: { mesh: { prefetchFrom: 'none' } } })
})

/** An image that no node has seen before. */
async function pushNew(name: string, bytes: number): Promise<Descriptor> {
  const content = Buffer.concat([...noise(name, bytes)])
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(content), size: bytes }
  await pushImage(seed.registryUrl, `team/${name}`, '1', layer, [content])
  return layer
}

function prefetch(from: MeshNode, ...args: string[]): Promise<RunResult> {
  return run(LAYERMESH, ['prefetch', ...args, '--admin', from.adminUrl, '--data', from.dataDirectory])
}

test('brings an image to all nodes of a zone, and to no other', async () => {
  const layer = await pushNew('zone', 3 * MIB)
  const { code, stdout, stderr } = await prefetch(seed, 'team/zone:1', '--zone', 'east')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  expect(stdout.match(/ in east has sha256:.*taken in/g)).toHaveLength(2)
  for (const node of east) expect(await node.receivedFromPeers()).toBeGreaterThanOrEqual(layer.size)
  expect(await west.receivedFromPeers()).toBeLessThan(layer.size)
})

test('says of each node that refuses why, and fails', async () => {
  await pushNew('refused', MIB)
  const { code, stderr } = await prefetch(seed, 'team/refused:1', '--all', '--json')
  expect(code).toBe(1)
  expect(stderr).toContain(`${west.peerId} in west: this node fetches images for nobody`)
  expect(stderr).toContain('1 of 4 nodes did not fetch team/refused:1')
})

test('lets no node have others fetch that is no seed', async () => {
  await pushNew('bold', MIB)
  const { code, stderr } = await prefetch(east[0], 'team/bold:1', '--node', east[1].peerId)
  expect(code).toBe(1)
  expect(stderr).toContain(`${east[1].peerId} in east: this node fetches images for seeds only`)
})

test('says that nobody has the image, and which node is not to be found', async () => {
  const nowhere = await prefetch(seed, 'team/nothing:1', '--node', east[0].peerId)
  expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining('no node knows team/nothing:1')])
  const unknown = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
  const lost = await prefetch(seed, 'team/zone:1', '--node', unknown, '--deadline', '3s')
  expect([lost.code, lost.stderr]).toEqual([1, expect.stringContaining(`${unknown} in unknown: `)])
})

describeUnless(await whyNoDockerRegistry(), 'of another registry', () => {
  test('an image is fetched by all nodes of a zone', async () => {
    const registry = await DockerRegistry.start(sandbox, await sandbox.makeDirectory('registry'))
    const content = Buffer.concat([...noise('mirrored', 3 * MIB)])
    const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(content), size: content.length }
    await pushImage(registry.url, 'team/mirrored', '1', layer, [content])
    const settings = { upstreams: { registries: { 'registry.test': { url: registry.url } } } }
    const start = (name: string) =>
      MeshNode.start(sandbox, { name, join: [seed], seed, flags: ['--zone', 'mirrored'], settings })
    const nodes = [await start('mirrored-1'), await start('mirrored-2')]
    const { code, stdout, stderr } = await prefetch(seed, 'registry.test/team/mirrored:1', '--zone', 'mirrored')
    expect(stderr).toBe('')
    expect(code).toBe(0)
    expect(stdout.match(/ in mirrored has sha256:/g)).toHaveLength(2)
    await registry.stop()
    for (const node of nodes) {
      const path = `/v2/team/mirrored/blobs/${layer.digest}?ns=registry.test`
      expect((await request(`${node.registryUrl}${path}`)).status).toBe(200)
    }
  })
})

test('goes on with a node that dies in the middle and comes back', async () => {
  const slow = await MeshNode.start(sandbox, {
    name: 'slow',
    join: [seed],
    seed,
    flags: ['--zone', 'slow'],
    settings: { limits: { download: '4MiB/s' } }
  })
  await pushNew('killed', 24 * MIB)
  const args = ['prefetch', 'team/killed:1', '--node', slow.peerId, '--admin', seed.adminUrl]
  const prefetched = sandbox.start('prefetch', LAYERMESH, [...args, '--data', seed.dataDirectory])
  await eventually('the node fetches', HANG_MS, async () => (await slow.receivedFromPeers()) > 2 * MIB || undefined)
  await slow.kill()
  await prefetched.waitForLine(/in slow was lost; waiting for it to come back/, HANG_MS)
  await slow.restart()
  expect(await prefetched.exited, prefetched.log.tail()).toEqual({ code: 0, signal: null })
  expect(prefetched.log.tail()).toContain('1 node has team/killed:1')
})
