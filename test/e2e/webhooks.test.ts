import { expect, test } from 'vitest'
import { KnownBlob, MIB } from '../chaos/support/known-blob.ts'
import { eventually } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const TIMEOUT_MS = 30_000

const sandbox = useSandbox()

test('receivers hear once when every node of a zone has an image', async () => {
  const receiver = await WebhookReceiver.start(sandbox)
  const settings = { webhooks: [receiver.settings('ci', ['image.distributed'])] }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  const inZone = (name: string, zone: string) =>
    MeshNode.start(sandbox, { name, join: [seed], seed, flags: ['--zone', zone] })
  const nodes = [await inZone('a1', 'a'), await inZone('a2', 'a'), await inZone('b1', 'b')] as const
  const layer = new KnownBlob('distributed', MIB, 'team/app')
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
  await pushImage(seed.registryUrl, 'team/app', '1', { mediaType, digest: layer.digest, size: layer.size }, [
    layer.content
  ])

  await pull(nodes[0])
  await pull(nodes[2])
  const zones = () => receiver.events.map(({ data }) => `${data.zone}: ${data.nodes}`)
  await eventually('zone b has it', TIMEOUT_MS, () => zones().includes('b: 1') || undefined)
  expect(zones()).toEqual(['b: 1'])
  await pull(nodes[1])
  await eventually('zone a has it', TIMEOUT_MS, () => zones().includes('a: 2') || undefined)
  await pull(nodes[1])
  expect(zones()).toEqual(['b: 1', 'a: 2'])
  expect(receiver.forged).toEqual([])
  expect(receiver.events[0]).toMatchObject({
    type: 'dev.layermesh.image.distributed.v1',
    source: `/mesh/${seed.peerId}`,
    data: { repository: 'team/app' }
  })
})

async function pull(node: MeshNode): Promise<void> {
  const response = await fetch(`${node.adminUrl}/api/v1/pull`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reference: 'team/app:1' })
  })
  expect(await response.text()).toContain('"done"')
}
