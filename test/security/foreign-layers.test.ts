import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MEDIA_TYPE } from '@layermesh/oci'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, descriptorOf, putBlob, putManifest } from './support/client.ts'

const FOREIGN = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'

const sandbox = useSandbox()
const seen: string[] = []
let elsewhere: Server
let url: string

beforeAll(async () => {
  elsewhere = createServer((incoming, response) => {
    seen.push(`${incoming.method} ${incoming.url} ${incoming.headers.authorization ?? ''}`)
    response.end('foreign')
  }).listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  url = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
})

afterAll(() => elsewhere.close())

// CVE-2020-15157 (containerd): the address in a descriptor was asked, with the registry's credentials.
test('addresses in manifests are never asked: not by a push, a pull, the admin API, or a node that follows', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  const config = descriptorOf(MEDIA_TYPE.ociConfig, Buffer.from('{}'))
  const foreign = { ...descriptorOf(FOREIGN, Buffer.from('foreign')), urls: [`${url}/layer`, 'file:///etc/passwd'] }
  const ordinary = { ...descriptorOf(MEDIA_TYPE.ociLayerGzip, Buffer.from('ordinary')), urls: [`${url}/ordinary`] }
  await putBlob(seed, 'team/app', Buffer.from('{}'))
  await putBlob(seed, 'team/app', Buffer.from('ordinary'))
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.dockerManifest, config, layers: [ordinary, foreign] }
  const pushed = await putManifest(seed, 'team/app', '1', JSON.stringify(manifest), {
    'Content-Type': MEDIA_TYPE.dockerManifest,
    Authorization: 'Basic dXNlcjpwYXNz'
  })
  expect(pushed.status).toBe(201)

  for (const registry of [seed, node]) {
    expect((await ask(registry, 'GET', '/v2/team/app/manifests/1')).status).toBe(200)
    const headers = { Authorization: 'Basic dXNlcjpwYXNz' }
    expect((await ask(registry, 'GET', `/v2/team/app/blobs/${ordinary.digest}`, { headers })).status).toBe(200)
    expect((await ask(registry, 'GET', `/v2/team/app/blobs/${foreign.digest}`, { headers })).status).toBe(404)
  }
  const body = JSON.stringify({ reference: 'team/app:1', deadlineMs: 5_000 })
  await request(`${node.adminUrl}/api/v1/pull`, {
    method: 'POST',
    body,
    headers: { 'Content-Type': 'application/json' }
  })
  // Neither a source that a client names is asked.
  await ask(seed, 'POST', `/v2/team/app/blobs/uploads/?mount=${foreign.digest}&from=127.0.0.1:${new URL(url).port}/x`)
  await ask(node, 'GET', `/v2/x/manifests/1?ns=127.0.0.1:${new URL(url).port}`)
  expect(seen).toEqual([])
})
