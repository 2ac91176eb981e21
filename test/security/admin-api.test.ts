import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { type Answer, request } from '../support/http.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, putImage } from './support/client.ts'
import { exchange, requestBytes } from './support/raw-http.ts'
import { basic, SecuredMesh } from './support/secured-mesh.ts'

const MAX_BODY_BYTES = 16 * 1024
const JSON_TYPE = { 'Content-Type': 'application/json' }

const sandbox = useSandbox()
let mesh: SecuredMesh
let token: string
let protectedPaths: [method: string, path: string][]

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox)
  token = (await readFile(join(mesh.seed.node.dataDirectory, 'admin.token'), 'utf8')).trim()
  const { body } = await admin('GET', '/api/v1/openapi.json')
  const { paths } = JSON.parse(body.toString()) as { paths: Record<string, Record<string, { security?: unknown }>> }
  protectedPaths = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { security }]): [string, string][] =>
      security === undefined ? [] : [[method.toUpperCase(), path]]
    )
  )
})

function admin(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  return request(`${mesh.seed.node.adminUrl}${path}`, { method, headers, ...(body === undefined ? {} : { body }) })
}

const withToken = () => ({ Authorization: `Bearer ${token}`, ...JSON_TYPE })

// CVE-2026-4404 (Harbor): a password that everybody knows.
test('each node makes a token of its own that only its user can read, and nothing is done without it', async () => {
  const other = (await readFile(join(mesh.node.node.dataDirectory, 'admin.token'), 'utf8')).trim()
  expect(other).not.toBe(token)
  expect(token.length).toBeGreaterThanOrEqual(32)
  expect(protectedPaths.length).toBeGreaterThan(3)
  const wrong = [
    '',
    'Bearer',
    'Bearer ',
    `Bearer ${other}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${token}`
  ]
  for (const [method, path] of protectedPaths) {
    for (const credential of [undefined, ...wrong, basic('alice')]) {
      const headers = credential === undefined ? JSON_TYPE : { ...JSON_TYPE, Authorization: credential }
      const { status } = await admin(method, path, headers, method === 'GET' ? undefined : '{}')
      expect(status, `${method} ${path} with ${credential}`).toBe(401)
    }
    for (const variant of [`${path}/`, path.toUpperCase(), path.replace('/api', '//api'), `${path};x`, `${path}%2f`]) {
      const answer = await exchange(mesh.seed.node.adminUrl, requestBytes(method, variant, ['Content-Length: 0']), {
        method
      })
      expect(answer?.status, `${method} ${variant}`).toBeOneOf([400, 401, 403, 404])
    }
  }
})

// CVE-2019-16097 (Harbor): a field of a body made its user an administrator.
test('bodies with fields that nobody asked for are refused, and so are huge, deep and odd ones', async () => {
  for (const [method, path] of protectedPaths.filter(([verb]) => verb !== 'GET')) {
    for (const body of [
      '{"isAdmin":true}',
      '{"__proto__":{"isAdmin":true}}',
      '{"constructor":{}}',
      '[]',
      'null',
      '"text"',
      '{',
      `${'['.repeat(8_000)}`,
      `{"user":"alice","name":"x","scopes":[{"repositories":"**","actions":["pull"]}],"lifetimeMs":60000,"admin":true}`
    ]) {
      const { status } = await admin(method, path, withToken(), body)
      expect(status, `${method} ${path} ${body.slice(0, 40)}`).toBe(400)
    }
    const { status } = await admin(method, path, withToken(), JSON.stringify({ x: 'x'.repeat(MAX_BODY_BYTES) }))
    expect(status, `${method} ${path}`).toBe(413)
  }
})

test('a page of another site, or a name that leads here, can do nothing, even with the token', async () => {
  for (const [method, path] of protectedPaths) {
    const origin = await admin(
      method,
      path,
      { ...withToken(), Origin: 'https://elsewhere.example' },
      method === 'GET' ? undefined : '{}'
    )
    expect(origin.status, `${method} ${path}`).toBe(403)
    const headers = ['Host: rebound.example', `Authorization: Bearer ${token}`, 'Content-Length: 0']
    const text = `${method} ${path} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`
    expect((await exchange(mesh.seed.node.adminUrl, text, { method }))?.status, `${method} ${path}`).toBe(403)
  }
})

test('an API key does what it is for, for the user it is for, until it is revoked, at each node', async () => {
  const body = {
    user: 'alice',
    name: 'ci',
    scopes: [{ repositories: 'secret/**', actions: ['pull'] }],
    lifetimeMs: 600_000
  }
  const made = await admin('POST', '/api/v1/keys', withToken(), JSON.stringify(body))
  const text = made.body.toString()
  const key = /lmk_[A-Za-z0-9]+_[A-Za-z0-9_-]+/.exec(text)?.[0] ?? ''
  expect(key, text).not.toBe('')
  const [prefix = '', id = '', secret = ''] = key.split(/_(.*?)_(.*)/s)
  for (const { node } of [mesh.seed, mesh.node]) {
    for (const Authorization of [`Bearer ${key}`, basic('alice', key), basic('any', key)]) {
      await expect
        .poll(
          async () => (await ask(node, 'GET', '/v2/secret/app/manifests/1', { headers: { Authorization } })).status,
          { timeout: 15_000 }
        )
        .toBe(200)
      for (const [method, path] of [
        ['DELETE', '/v2/secret/app/manifests/1'],
        ['POST', '/v2/secret/app/blobs/uploads/'],
        ['GET', '/v2/ci/app/manifests/1']
      ] as const) {
        expect((await ask(node, method, path, { headers: { Authorization } })).status, `${method} ${path}`).toBe(403)
      }
    }
    const altered = `${prefix}_${id}_${secret.startsWith('A') ? 'B' : 'A'}${secret.slice(1)}`
    const headers = { Authorization: `Bearer ${altered}` }
    expect((await ask(node, 'GET', '/v2/secret/app/manifests/1', { headers })).status).toBe(401)
  }
  const list = await admin('GET', '/api/v1/keys', withToken())
  expect(list.body.toString()).toContain(id)
  expect(list.body.toString()).not.toContain(secret)
  expect((await admin('DELETE', '/api/v1/keys', withToken(), JSON.stringify({ id }))).status).toBe(200)
  for (const { node } of [mesh.seed, mesh.node]) {
    const headers = { Authorization: `Bearer ${key}` }
    await expect
      .poll(async () => (await ask(node, 'GET', '/v2/secret/app/manifests/1', { headers })).status, { timeout: 15_000 })
      .toBe(401)
  }
})

test('a key is worth nothing beyond what the rules give its user', async () => {
  const body = {
    user: 'mallory',
    scopes: [{ repositories: '**', actions: ['pull', 'create', 'update', 'delete'] }],
    lifetimeMs: 600_000
  }
  const made = await admin('POST', '/api/v1/keys', withToken(), JSON.stringify(body))
  const key = /lmk_[A-Za-z0-9]+_[A-Za-z0-9_-]+/.exec(made.body.toString())?.[0] ?? ''
  for (const { node } of [mesh.seed, mesh.node]) {
    const headers = { Authorization: `Bearer ${key}` }
    await expect
      .poll(async () => (await ask(node, 'GET', '/v2/secret/app/manifests/1', { headers })).status, { timeout: 15_000 })
      .toBe(403)
    await expect(putImage(node, 'ci/app', 'x', Buffer.from('x'), headers)).rejects.toThrow(/403/)
  }
})
