import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, putImage } from './support/client.ts'
import { exchange, requestBytes } from './support/raw-http.ts'

const PASSWORD = 'hunter2-of-docker-hub'
const CREDENTIALS = [
  `Basic ${Buffer.from(`somebody:${PASSWORD}`).toString('base64')}`,
  `Bearer ${PASSWORD}.${PASSWORD}.${PASSWORD}`,
  `Digest username="somebody", response="${PASSWORD}"`,
  PASSWORD,
  `Basic ${PASSWORD}`,
  ''
]
const MIRRORED = ['/v2/library/alpine/manifests/3?ns=docker.io', '/v2/docker.io/library/alpine/manifests/3', '/v2/']

const sandbox = useSandbox()
let node: MeshNode

beforeAll(async () => {
  const settings = { log: { level: 'trace', format: 'json' } }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  await putImage(seed, 'team/app', '1', Buffer.from('a layer'))
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
})

// moby#42022: dockerd answers the challenge of a mirror with the password of Docker Hub.
test('a mirror asks nobody for a password, whatever it was sent and whatever it has', async () => {
  for (const path of [
    ...MIRRORED,
    '/v2/team/app/manifests/1',
    '/v2/team/app/manifests/none',
    '/v2/_catalog',
    '/v2/none'
  ]) {
    for (const method of ['GET', 'HEAD']) {
      for (const credential of CREDENTIALS) {
        const { status, headers } = await ask(node, method, path, { headers: { Authorization: credential } })
        expect(status, path).not.toBe(401)
        expect(status, path).not.toBe(429)
        expect(headers.has('www-authenticate'), path).toBe(false)
        expect(headers.has('set-cookie'), path).toBe(false)
      }
    }
  }
})

test('no credential and no query of a token gets into a log or an answer', async () => {
  const encoded = Buffer.from(`somebody:${PASSWORD}`).toString('base64')
  for (const credential of CREDENTIALS) {
    for (const path of [...MIRRORED, '/v2/team/app/blobs/wrong', '/v2/%zz', '/nowhere']) {
      const headers = [
        `Authorization: ${credential}`,
        `Proxy-Authorization: ${credential}`,
        `Cookie: session=${PASSWORD}`
      ]
      const answer = await exchange(node.registryUrl, requestBytes('GET', path, headers))
      const text = `${[...(answer?.headers ?? [])]}${answer?.body}`
      for (const secret of [PASSWORD, encoded]) expect(text.includes(secret), path).toBe(false)
    }
  }
  // A request that is no HTTP, with a password in it.
  await exchange(node.registryUrl, `GET /v2/ HTTP/9.9\r\nAuthorization: ${CREDENTIALS[0]}\r\n\r\n`)
  expect(node.process.log.find(/answered/)).toBeDefined()
  for (const secret of [PASSWORD, encoded]) {
    expect(node.process.log.findAll(/./).some((line) => line.includes(secret))).toBe(false)
  }
})

test('a page of another site can not read what a mirror answers', async () => {
  for (const path of ['/v2/', '/v2/_catalog', '/v2/team/app/manifests/1']) {
    const { headers } = await ask(node, 'GET', path, { headers: { Origin: 'https://elsewhere.example' } })
    for (const name of ['origin', 'credentials', 'headers', 'methods']) {
      expect(headers.has(`access-control-allow-${name}`), path).toBe(false)
    }
  }
})
