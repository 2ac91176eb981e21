import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { closeServer, type Listening, listen } from '../listening.ts'
import { createLog } from '../log.ts'
import type { AdminActionEvent } from './action.ts'
import { createAdmin } from './admin.ts'
import { AdminError } from './errors.ts'
import { eventSchema } from './schemas.ts'
import { streamedAction } from './streamed-action.ts'
import type { NodeView } from './view.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const TOKEN = 'a'.repeat(43)
const COUNT = z.strictObject({ count: z.int().max(9) })

let listening: Listening
let told: AdminActionEvent[]
let held: PromiseWithResolvers<void>
let ended: unknown

const ACTION = streamedAction({
  path: 'count',
  summary: 'counts',
  maxRunning: 1,
  input: COUNT,
  progress: COUNT,
  result: COUNT,
  keyOf: ({ count }) => String(count),
  run: async ({ count }, onProgress, signal) => {
    signal.addEventListener('abort', () => {
      ended = signal.reason
      held.resolve()
    })
    if (count === 7) throw new AdminError(409, 'SEVEN', 'not seven')
    if (count === 8) throw new Error('/etc/secret')
    for (let i = 0; i < count; i++) onProgress({ count: i })
    await held.promise
    return { count }
  }
})

beforeEach(async () => {
  told = []
  held = Promise.withResolvers()
  ended = undefined
  const view = {} as NodeView
  const metrics = { expose: async () => ({ contentType: 'text/plain', text: '' }) }
  const log = createLog({ level: 'silent', format: 'json' })
  const onAction = (event: AdminActionEvent) => void told.push(event)
  const components = { view, metrics, log, actions: [], streams: [ACTION], onAction }
  listening = await listen(createAdmin(components, { token: TOKEN, listen: LOOPBACK }), LOOPBACK)
})
afterEach(() => closeServer(listening.server, AbortSignal.abort()))

function ask(body: unknown, { token = TOKEN, signal }: { token?: string; signal?: AbortSignal } = {}) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) }
  return fetch(`${listening.url}/api/v1/count`, init)
}

it('tells how far it is, a line each, and at last the result', async () => {
  held.resolve()
  const lines = (await (await ask({ count: 2 })).text()).trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { type: 'progress', progress: { count: 0 } },
    { type: 'progress', progress: { count: 1 } },
    { type: 'done', result: { count: 2 } }
  ])
  const event = eventSchema(COUNT, COUNT)
  for (const line of lines) expect(event.safeParse(JSON.parse(line)).success).toBe(true)
  expect(told).toMatchObject([{ method: 'POST', path: 'count', input: { count: 2 } }])
  expect(told[0]).not.toHaveProperty('error')
})

it('tells why it failed, and nothing of errors that are not ours', async () => {
  expect(await (await ask({ count: 7 })).json()).toEqual({
    type: 'error',
    error: { code: 'SEVEN', message: 'not seven' }
  })
  const text = await (await ask({ count: 8 })).text()
  expect(text).toContain('INTERNAL')
  expect(text).not.toContain('secret')
  expect(told).toMatchObject([{ error: { code: 'SEVEN' } }, { error: { message: '/etc/secret' } }])
})

it('is done for nobody without the token, nor for what does not fit its description', async () => {
  expect((await ask({ count: 1 }, { token: 'b'.repeat(43) })).status).toBe(401)
  expect((await ask({ count: 10 })).status).toBe(400)
  expect((await ask({ count: 1, more: true })).status).toBe(400)
})

it('runs no more at one time than it may, and ends with the client that wants it', async () => {
  const leave = new AbortController()
  await ask({ count: 1 }, { signal: leave.signal })
  expect((await ask({ count: 1 })).status).toBe(429)
  leave.abort()
  await held.promise
  expect(ended).toBeDefined()
})

it('stands in the description and on the index', async () => {
  const description = await (await fetch(`${listening.url}/api/v1/openapi.json`)).text()
  expect(JSON.parse(description).paths['/api/v1/count'].post.security).toEqual([{ adminToken: [] }])
  expect(await (await fetch(listening.url)).text()).toMatch(/POST +\/api\/v1\/count +counts \(needs the admin token\)/)
})
