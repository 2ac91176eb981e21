import { MEDIA_TYPE } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { FakeTokenService } from '../testing/fake-token-service.ts'
import { deadUrl } from '../testing/local-server.ts'
import { openFake } from '../testing/open-fake.ts'

const { signal } = new AbortController()
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, layers: [] }

async function read(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

it('tells what a tag means, and gives manifest and blob, by tokens of the registry’s service', async () => {
  const [server, tokens] = [await FakeRegistry.start(), await FakeTokenService.start()]
  server.intercept = tokens.guard()
  const digest = server.addManifest(MANIFEST, 'latest')
  const blob = server.addBlob(Buffer.from('0123456789'))
  const registry = await openFake(server.url)
  const head = await registry.headManifest('team/app', 'latest', { signal })
  expect(head).toMatchObject({ digest, mediaType: MEDIA_TYPE.ociManifest })
  const manifest = await registry.getManifest('team/app', digest, { signal })
  expect(JSON.parse(Buffer.from(manifest?.bytes ?? []).toString())).toEqual(MANIFEST)
  expect(await registry.headBlob('team/app', blob, { signal })).toBe(10)
  const opened = await registry.openBlob('team/app', blob, 4, { signal })
  expect(opened?.size).toBe(10)
  expect((await read(opened?.body ?? (async function* () {})())).toString()).toBe('456789')
  expect(tokens.seen.map(({ parameters }) => [...parameters.entries()])).toEqual([
    [
      ['service', 'registry'],
      ['scope', 'repository:team/app:pull']
    ]
  ])
})

it('says of what the registry does not have that it is not there', async () => {
  const server = await FakeRegistry.start()
  const registry = await openFake(server.url)
  const missing = server.addBlob(Buffer.from('x'))
  server.content.clear()
  expect(await registry.headManifest('a', 'latest', { signal })).toBeUndefined()
  expect(await registry.getManifest('a', 'latest', { signal })).toBeUndefined()
  expect(await registry.headBlob('a', missing, { signal })).toBeUndefined()
  expect(await registry.openBlob('a', missing, 0, { signal })).toBeUndefined()
  expect(await registry.referrers('a', missing, { signal })).toBeUndefined()
  expect(await registry.listTags('a', { limit: 10 }, { signal })).toBeUndefined()
})

it('says of a registry that nobody answers for that it can not be reached', async () => {
  const registry = await openFake(await deadUrl())
  await expect(registry.headManifest('a', 'latest', { signal })).rejects.toMatchObject({ code: 'UNREACHABLE' })
})
