import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { giveImage, HostileServer, UPSTREAM_IMAGE } from './support/hostile-upstream.ts'

const PASSWORD = 'hunter2-of-this-node'
const BASIC = `Basic ${Buffer.from(`somebody:${PASSWORD}`).toString('base64')}`
const TOKEN = 'token-of-this-node'
const SIGNATURE = 'signature-of-a-store'

const sandbox = useSandbox()
let node: MeshNode
let registry: HostileServer
let evil: HostileServer
let count = 0

/** A node that has a password for a registry, whose images everybody may have. */
beforeEach(async () => {
  count++
  registry = await HostileServer.start(sandbox)
  evil = await HostileServer.start(sandbox)
  const passwordFile = join(sandbox.directory, `password-${count}`)
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 })
  const credentials = { username: 'somebody', passwordFile }
  const registries = { 'hostile.example': { url: registry.url, credentials, clients: 'all' } }
  const settings = { upstreams: { registries }, log: { level: 'trace', format: 'json' } }
  node = await MeshNode.start(sandbox, { name: `node-${count}`, role: 'seed', settings })
})

const get = (what: string) => ask(node, 'GET', `/v2/hostile.example/team/app/${what}`)

const shownTo = ({ seen }: HostileServer) => seen.map(({ headers }) => headers.authorization)

// CVE-2020-15157 and its kin: what proves who asks went where a registry led to.
test('a password stays with its registry, wherever that redirects to', async () => {
  registry.handler = (request, response) => {
    if (request.headers.authorization === undefined) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    } else if (request.url?.includes('/blobs/')) {
      response.writeHead(307, { location: `${evil.url}${request.url}?sig=${SIGNATURE}` }).end()
    } else giveImage(request, response)
  }
  evil.handler = (request, response) => {
    // Where it leads back, it is shown to nobody either.
    const at = `${request.url}`.split('?')[0]
    if (evil.seen.length === 1) response.writeHead(307, { location: `${evil.url}${at}?sig=${SIGNATURE}` }).end()
    else {
      request.url = at ?? ''
      giveImage(request, response)
    }
  }
  expect((await get('manifests/latest')).status).toBe(200)
  const { status, body } = await get(`blobs/${UPSTREAM_IMAGE.layer.digest}`)
  expect([status, body]).toEqual([200, UPSTREAM_IMAGE.layerBytes])
  expect(new Set(shownTo(registry))).toEqual(new Set([undefined, BASIC]))
  expect(evil.seen.length).toBeGreaterThan(1)
  expect(new Set(shownTo(evil))).toEqual(new Set([undefined]))
})

// CVE-2026-33540 (distribution), CVE-2026-48978 (oras-go): the challenge names whom to tell the password.
test.each([
  ['a host of another name', () => evil.url.replace('127.0.0.1', 'localhost')],
  ['an address that is written in another way', () => evil.url.replace('127.0.0.1', '[::ffff:127.0.0.1]')],
  ['the metadata of a cloud', () => 'http://169.254.169.254'],
  ['a file', () => 'file:///etc'],
  ['a user and a host', () => evil.url.replace('127.0.0.1', '127.0.0.1@localhost')]
])('a password is not shown to a token service at %s', async (_, place) => {
  const realm = `${place()}/token`
  registry.handler = (_request, response) => {
    response
      .writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s",scope="repository:a:pull"` })
      .end()
  }
  expect((await get('manifests/latest')).status).toBe(404)
  expect(registry.seen.length).toBeGreaterThan(0)
  expect(evil.seen).toEqual([])
  expect(new Set(shownTo(registry))).toEqual(new Set([undefined]))
})

test('a token service can not send the password on', async () => {
  registry.handler = ({ url = '' }, response) => {
    if (url.startsWith('/token')) response.writeHead(307, { location: `${evil.url}/token` }).end()
    else response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token",service="s"` }).end()
  }
  expect((await get('manifests/latest')).status).toBe(404)
  expect(shownTo(registry)).toContain(BASIC)
  expect(evil.seen).toEqual([])
})

test('neither password nor token nor signed URL gets into a log, a metric or an answer', async () => {
  registry.handler = (request, response) => {
    const { url = '', headers } = request
    if (url.startsWith('/token')) response.end(JSON.stringify({ token: TOKEN }))
    else if (headers.authorization !== `Bearer ${TOKEN}`) {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.url}/token",service="s"` }).end()
    } else if (url.includes('/blobs/')) {
      // Nobody listens at the discard port.
      response.writeHead(307, { location: `http://127.0.0.1:9/${SIGNATURE}?sig=${SIGNATURE}` }).end()
    } else giveImage(request, response)
  }
  const answers = [await get('manifests/latest'), await get(`blobs/${UPSTREAM_IMAGE.layer.digest}`)]
  expect(answers.map(({ status }) => status)).toEqual([200, 404])
  expect(shownTo(registry)).toContain(`Bearer ${TOKEN}`)
  for (const path of ['/metrics', '/api/v1/status', '/api/v1/transfers', '/api/v1/images']) {
    answers.push(await request(`${node.adminUrl}${path}`))
  }
  const texts = answers.map(({ headers, body }) => `${[...headers]}${body}`)
  const lines = node.process.log.findAll(/./)
  expect(lines.length).toBeGreaterThan(5)
  for (const secret of [PASSWORD, BASIC.slice(6), TOKEN, SIGNATURE]) {
    expect([...texts, ...lines].filter((text) => text.includes(secret))).toEqual([])
  }
})
