import { parseRepository } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { closeServer, type Listening, listen } from '../listening.ts'
import { createLog } from '../log.ts'
import { type AdminActionEvent, adminAction } from './action.ts'
import { createAdmin } from './admin.ts'
import { AdminError } from './errors.ts'
import type { NodeView } from './view.ts'

const TOKEN = 'a'.repeat(43)
const LOOPBACK = { host: '127.0.0.1', port: 0 }
const NAME = z.strictObject({ name: z.string().max(20) })

let listening: Listening
let told: AdminActionEvent[]
beforeEach(async () => {
  told = []
  const view = {} as NodeView
  const metrics = { expose: async () => ({ contentType: 'text/plain', text: '' }) }
  const log = createLog({ level: 'silent', format: 'json' })
  const onAction = (event: AdminActionEvent) => void told.push(event)
  const app = createAdmin({ view, metrics, log, actions: ACTIONS, onAction }, { token: TOKEN, listen: LOOPBACK })
  listening = await listen(app, LOOPBACK)
})
afterEach(() => closeServer(listening.server, AbortSignal.abort()))

const ACTIONS = [
  adminAction({
    method: 'GET',
    path: 'things',
    summary: 'shows a thing',
    input: NAME,
    output: NAME,
    run: async ({ name }) => ({ name: `${name}!` })
  }),
  adminAction({
    method: 'POST',
    path: 'things',
    summary: 'makes a thing',
    input: NAME,
    output: NAME,
    run: async ({ name }) => {
      if (name === 'taken') throw new AdminError(409, 'TAKEN', 'there is one')
      if (name === 'no name') parseRepository('NO NAME')
      if (name === 'broken') throw new Error('/etc/secret')
      return { name }
    }
  })
]

interface Answer {
  readonly status: number
  readonly body: { readonly name?: string; readonly error?: { readonly code: string; readonly message: string } }
}

async function ask(method: string, path: string, given: { body?: string; authorization?: string }): Promise<Answer> {
  const { body, authorization = `Bearer ${TOKEN}` } = given
  const headers = { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }
  const response = await fetch(`${listening.url}/api/v1/${path}`, { method, headers, ...(body && { body }) })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

it('acts for those who have the token, and tells who asked for what', async () => {
  expect(await ask('POST', 'things', { body: '{"name":"a"}' })).toEqual({ status: 200, body: { name: 'a' } })
  expect(await ask('GET', 'things?name=a', {})).toEqual({ status: 200, body: { name: 'a!' } })
  expect(told).toMatchObject([
    { method: 'POST', path: 'things', input: { name: 'a' }, address: '127.0.0.1' },
    { method: 'GET', path: 'things', input: { name: 'a' } }
  ])
})

it('refuses others, whatever they show, and tells of them', async () => {
  const wrong = ['', 'Bearer', 'Bearer ', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Basic ${TOKEN}`, TOKEN]
  for (const authorization of wrong) {
    for (const method of ['GET', 'POST']) {
      const { status, body } = await ask(method, 'things?name=a', { authorization })
      expect([status, body.error?.code], authorization).toEqual([401, 'ADMIN_TOKEN_NEEDED'])
    }
  }
  expect(told).toHaveLength(2 * wrong.length)
  for (const event of told) expect(event).toMatchObject({ path: 'things', error: { code: 'ADMIN_TOKEN_NEEDED' } })
  expect(JSON.stringify(told)).not.toContain(TOKEN.slice(1))
})

it('refuses keys that there are not, and says which value is wrong', async () => {
  const more = await ask('POST', 'things', { body: '{"name":"a","admin":true}' })
  expect([more.status, more.body.error?.code, more.body.error?.message]).toEqual([
    400,
    'BODY_INVALID',
    expect.stringContaining('admin')
  ])
  const long = await ask('POST', 'things', { body: JSON.stringify({ name: 'a'.repeat(21) }) })
  expect([long.status, long.body.error?.message]).toEqual([400, expect.stringMatching(/^name: /)])
  expect((await ask('POST', 'things', { body: JSON.stringify({ name: 'a'.repeat(20_000) }) })).status).toBe(413)
  expect((await ask('POST', 'things', {})).status).toBe(400)
})

it('tells refusals as they are, and keeps the inside of the node to itself', async () => {
  const taken = await ask('POST', 'things', { body: '{"name":"taken"}' })
  expect(taken).toEqual({ status: 409, body: { error: { code: 'TAKEN', message: 'there is one' } } })
  expect((await ask('POST', 'things', { body: '{"name":"no name"}' })).status).toBe(400)
  const broken = await ask('POST', 'things', { body: '{"name":"broken"}' })
  expect([broken.status, broken.body.error?.code]).toEqual([500, 'INTERNAL'])
  expect(JSON.stringify(broken.body)).not.toContain('secret')
  expect(told.map(({ error }) => error)).toEqual([expect.anything(), expect.anything(), expect.anything()])
})

it('refuses other methods', async () => {
  const { status, body } = await ask('DELETE', 'things', {})
  expect([status, body.error?.code]).toEqual([405, 'METHOD_NOT_ALLOWED'])
})

it('stands in the description and the index', async () => {
  const response = await fetch(`${listening.url}/api/v1/openapi.json`)
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, object>> }
  expect(paths['/api/v1/things']?.post).toMatchObject({ summary: 'makes a thing', security: [{ adminToken: [] }] })
  expect(paths['/api/v1/things']?.get).toMatchObject({ parameters: [{ in: 'query', name: 'name', required: true }] })
  expect(await (await fetch(listening.url)).text()).toContain('/api/v1/things')
})
