import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { run } from '../support/process.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'

const sandbox = useSandbox()

/** Pushes an image of its own under a tag. @returns its digest */
async function push(node: MeshNode, tag: string): Promise<string> {
  const bytes = Buffer.from(`the layer of ${tag}`)
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(bytes), size: bytes.length }
  await pushImage(node.registryUrl, 'team/app', tag, layer, [bytes])
  const { headers } = await request(`${node.registryUrl}/v2/team/app/manifests/${tag}`, { method: 'HEAD' })
  return headers.get('docker-content-digest') ?? ''
}

async function tagsOf(node: MeshNode): Promise<string[]> {
  const { body } = await request(`${node.registryUrl}/v2/team/app/tags/list`)
  return JSON.parse(body.toString()).tags
}

test('a seed removes what its rules do not keep: shown first, then done, signed, told and written down', async () => {
  const receiver = await WebhookReceiver.start(sandbox)
  const settings = {
    retention: {
      every: '0s',
      rules: [
        { repositories: 'team/*', tags: 'v*', keepLast: 2 },
        { repositories: '**', untagged: { olderThan: '5s' } }
      ]
    },
    webhooks: [receiver.settings('ci', ['tag.deleted', 'manifest.deleted'])]
  }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  const command = (...args: string[]) => run(LAYERMESH, ['retention', 'run', ...args, '--data', seed.dataDirectory])
  const digests = new Map<string, string>()
  for (const tag of ['latest', 'v1', 'v2', 'v3']) digests.set(tag, await push(node, tag))

  const shown = await command('--dry-run')
  expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining('1 tags and 0 manifests would be removed') })
  expect(shown.stdout).toContain('team/app:v1')
  expect(await tagsOf(seed)).toEqual(['latest', 'v1', 'v2', 'v3'])

  expect(await command()).toMatchObject({ code: 0, stdout: expect.stringContaining('1 tags and 0 manifests removed') })
  expect(await tagsOf(seed)).toEqual(['latest', 'v2', 'v3'])
  await eventually('the node knows too', HANG_MS, async () => {
    const { status } = await request(`${node.registryUrl}/v2/team/app/manifests/v1`)
    return status === 404 || undefined
  })

  await eventually('the manifest is removed', HANG_MS, async () => {
    const { manifests } = JSON.parse((await command('--json')).stdout)
    if (manifests.length === 0) return undefined
    expect(manifests).toEqual([{ repository: 'team/app', digest: digests.get('v1') }])
    return true
  })
  const statusOf = async (digest = '') => (await request(`${seed.registryUrl}/v2/team/app/manifests/${digest}`)).status
  expect(await statusOf(digests.get('v1'))).toBe(404)
  for (const tag of ['latest', 'v2', 'v3']) expect(await statusOf(digests.get(tag)), tag).toBe(200)

  await eventually('the receiver was told', HANG_MS, () => receiver.events.length === 2 || undefined)
  expect(receiver.events).toMatchObject([
    { type: 'dev.layermesh.tag.deleted.v1', data: { tag: 'v1', actor: 'retention' } },
    { type: 'dev.layermesh.manifest.deleted.v1', data: { digest: digests.get('v1'), actor: 'retention' } }
  ])
  const audit = await readFile(join(seed.dataDirectory, 'audit.log'), 'utf8')
  for (const action of ['tag.deleted', 'delete', 'admin']) expect(audit).toContain(`"action":"${action}"`)
  const history = await run(LAYERMESH, ['history', 'team/app:v1', '--data', seed.dataDirectory])
  expect(history.stdout).toMatch(/retention +deleted/)
  expect(await run(LAYERMESH, ['retention', 'run', '--data', node.dataDirectory])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no retention.rules are set here')
  })
})

test('a seed removes by itself on schedule', async () => {
  const settings = { retention: { every: '1s', rules: [{ repositories: '**', tags: 'v*', keepLast: 1 }] } }
  const seed = await MeshNode.start(sandbox, { name: 'scheduled', role: 'seed', settings })
  for (const tag of ['v1', 'v2']) await push(seed, tag)
  await eventually('it was removed', HANG_MS, async () => ((await tagsOf(seed)).length === 1 ? true : undefined))
  expect(await tagsOf(seed)).toEqual(['v2'])
})
