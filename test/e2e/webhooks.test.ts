import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { eventually, HANG_MS } from '../support/http.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { run } from '../support/process.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const LAYER_BYTES = Buffer.from('a layer')
const LAYER = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(LAYER_BYTES), size: LAYER_BYTES.length }

const sandbox = useSandbox()

test('receivers hear once when every node of a zone has an image', async () => {
  const receiver = await WebhookReceiver.start(sandbox)
  const settings = { webhooks: [receiver.settings('ci', ['image.distributed'])] }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  const inZone = (name: string, zone: string) =>
    MeshNode.start(sandbox, { name, join: [seed], seed, flags: ['--zone', zone] })
  const nodes = [await inZone('a1', 'a'), await inZone('a2', 'a'), await inZone('b1', 'b')] as const
  await pushImage(seed.registryUrl, 'team/app', '1', LAYER, [LAYER_BYTES])

  await pull(nodes[0])
  await pull(nodes[2])
  const zones = () => receiver.events.map(({ data }) => `${data.zone}: ${data.nodes}`)
  await eventually('zone b has it', HANG_MS, () => zones().includes('b: 1') || undefined)
  expect(zones()).toEqual(['b: 1'])
  await pull(nodes[1])
  await eventually('zone a has it', HANG_MS, () => zones().includes('a: 2') || undefined)
  await pull(nodes[1])
  expect(zones()).toEqual(['b: 1', 'a: 2'])
  expect(receiver.forged).toEqual([])
  expect(receiver.events[0]).toMatchObject({
    type: 'dev.layermesh.image.distributed.v1',
    source: `/mesh/${seed.peerId}`,
    data: { repository: 'team/app' }
  })
})

test('an operator sees what was given up, tries the receiver, and has it delivered', async () => {
  const receiver = await WebhookReceiver.start(sandbox)
  receiver.answer = () => 500
  const webhook = { ...receiver.settings('ci', ['manifest.pushed']), maxAttempts: 1 }
  const seed = await MeshNode.start(sandbox, { name: 'operated', role: 'seed', settings: { webhooks: [webhook] } })
  const command = (...args: string[]) => run(LAYERMESH, ['webhook', ...args, '--data', seed.dataDirectory])
  await pushImage(seed.registryUrl, 'team/app', '1', LAYER, [LAYER_BYTES])
  await eventually('the event is given up', HANG_MS, async () => {
    return (await seed.metric('layermesh_webhooks_dead_total')) === 1 || undefined
  })
  const listed = await command('list')
  expect(listed.stdout).toMatch(/ci +http:\/\/127\.0\.0\.1:\d+ +cloudevents/)
  expect(listed.stdout).toMatch(/dev\.layermesh\.manifest\.pushed\.v1 +team\/app:1/)
  expect(await command('test', 'ci')).toMatchObject({ code: 1, stderr: expect.stringContaining('answered 500') })

  receiver.answer = () => 204
  expect(await command('test', 'ci')).toMatchObject({ code: 0 })
  expect(await command('redeliver', 'ci', '--dead')).toMatchObject({ code: 0, stdout: '1 to be delivered again\n' })
  await eventually('it is delivered', HANG_MS, () => receiver.events.length === 4 || undefined)
  expect(receiver.events[3]).toEqual(receiver.events[0])
  expect(receiver.events.slice(1, 3).map(({ type }) => type)).toEqual(Array(2).fill('dev.layermesh.ping.v1'))
  expect(await command('redeliver', 'ci', 'nothing')).toMatchObject({ code: 1 })
  expect(receiver.forged).toEqual([])
})

test('a receiver is believed only with a certificate of those that are trusted', async () => {
  const [trusted, other] = [await Authority.create(sandbox, 'trusted'), await Authority.create(sandbox, 'other')]
  const receiver = await WebhookReceiver.start(sandbox, await trusted.issue('receiver'))
  const webhooks = [
    { ...receiver.settings('right', ['manifest.pushed']), caFile: trusted.file },
    { ...receiver.settings('wrong', ['manifest.pushed']), caFile: other.file },
    receiver.settings('usual', ['manifest.pushed'])
  ]
  const seed = await MeshNode.start(sandbox, { name: 'by-tls', role: 'seed', settings: { webhooks } })
  const testOf = (name: string) => run(LAYERMESH, ['webhook', 'test', name, '--data', seed.dataDirectory])
  expect(await testOf('right')).toMatchObject({ code: 0 })
  for (const name of ['wrong', 'usual']) {
    const stderr = expect.stringMatching(/can not be reached \((UNABLE_TO|SELF_SIGNED|DEPTH_ZERO)/)
    expect(await testOf(name)).toMatchObject({ code: 1, stderr })
  }
  expect(receiver.events).toHaveLength(1)
})

async function pull(node: MeshNode): Promise<void> {
  const response = await fetch(`${node.adminUrl}/api/v1/pull`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ reference: 'team/app:1' })
  })
  expect(await response.text()).toContain('"done"')
}
