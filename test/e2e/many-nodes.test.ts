import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterAll, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'

const NODES = 40
/** A node that has joined looks for so many. */
const ENOUGH_NEIGHBOURS = 8
/** They share one machine. */
const START_TIMEOUT_MS = 400_000

const sandbox = useSandbox()
const nodes: MeshNode[] = []
afterAll(() => Promise.all(nodes.map((node) => node.kill())))

test(`${NODES} nodes that start at the same moment all join`, async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const layer = Buffer.from('the one layer')
  const descriptor = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(layer), size: layer.length }
  await pushImage(seed.registryUrl, 'team/app', '1', descriptor, [layer])

  const starts = Array.from({ length: NODES }, (_, i) =>
    MeshNode.start(sandbox, { name: `node-${i}`, join: [seed], seed, startTimeoutMs: START_TIMEOUT_MS })
  )
  nodes.push(...(await Promise.all(starts)))

  for (const node of nodes) {
    await eventually(`${node.name} has ${ENOUGH_NEIGHBOURS} peers`, HANG_MS, async () => {
      const { peers } = await node.status()
      return peers >= ENOUGH_NEIGHBOURS || undefined
    })
  }
  for (const node of nodes) {
    const headers = { Accept: MEDIA_TYPE.ociManifest }
    await eventually(`${node.name} finds the tag`, HANG_MS, async () => {
      return (await request(`${node.registryUrl}/v2/team/app/manifests/1`, { headers })).status === 200 || undefined
    })
  }
})
