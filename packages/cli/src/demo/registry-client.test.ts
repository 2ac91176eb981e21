import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'
import type { DemoImage } from './image.ts'
import { RegistryClient } from './registry-client.ts'

const PATIENT = new AbortController().signal

let directory: string
let server: FakeServer
/** What a registry holds: path below the repository, then bytes. */
let stored: Map<string, Buffer>
let digestHeader: string | undefined

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-client-'))
  stored = new Map()
  digestHeader = undefined
  server = await startFakeServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://registry')
    const path = url.pathname.replace('/v2/team/app', '')
    if (request.method === 'POST') return response.writeHead(202, { location: '/v2/team/app/session?state=1' }).end()
    if (request.method === 'PUT') return response.writeHead(await keep(request, path, url)).end()
    const bytes = stored.get(path)
    if (digestHeader) response.setHeader('docker-content-digest', digestHeader)
    return response.writeHead(bytes ? 200 : 404).end(bytes ?? '{"errors":[]}')
  })
})
afterEach(async () => {
  await server.close()
  await rm(directory, { recursive: true })
})

async function keep(request: IncomingMessage, path: string, url: URL): Promise<number> {
  const bytes = await buffer(request)
  if (request.headers['content-length'] !== String(bytes.length)) return 411
  const digest = url.searchParams.get('digest')
  if (path === '/session' && (url.searchParams.get('state') !== '1' || digest !== digestOf(bytes))) return 400
  stored.set(digest === null ? path : `/blobs/${digest}`, bytes)
  return 201
}

async function makeImage(): Promise<DemoImage> {
  const path = join(directory, 'layer')
  const content = Buffer.alloc(300_000, 7)
  await writeFile(path, content)
  const config = Buffer.from('{}')
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(content), size: content.length }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(config), size: 2 },
      layers: [layer]
    })
  )
  return {
    manifest,
    config,
    layers: [{ ...layer, path, diffId: layer.digest }],
    size: manifest.length + 2 + layer.size
  }
}

function client(): RegistryClient {
  return new RegistryClient(server.url, 'team/app', PATIENT)
}

it('pushes an image and pulls the same by tag and by digest', async () => {
  const image = await makeImage()
  await client().push(image, '1')
  digestHeader = digestOf(image.manifest)
  const pulled = await client().pull('1')
  expect(pulled).toMatchObject({ digest: digestOf(image.manifest), bytes: image.size })
  stored.set(`/manifests/${pulled.digest}`, Buffer.from(image.manifest))
  expect((await client().pull(pulled.digest)).bytes).toBe(image.size)
})

it('refuses a manifest or a blob of other bytes than those of its digest', async () => {
  const image = await makeImage()
  await client().push(image, '1')
  digestHeader = digestOf(image.config)
  await expect(client().pull('1')).rejects.toMatchObject({ message: expect.stringContaining('instead of') })
  digestHeader = digestOf(image.manifest)
  stored.set(`/blobs/${image.layers[0]?.digest}`, Buffer.alloc(300_000, 8))
  await expect(client().pull('1')).rejects.toMatchObject({ message: expect.stringContaining('other bytes') })
})

it('says what was asked, and what the answer was', async () => {
  await expect(client().pull('1')).rejects.toMatchObject({
    message: `GET ${server.url}/v2/team/app/manifests/1 was answered with 404: {"errors":[]}`
  })
})
