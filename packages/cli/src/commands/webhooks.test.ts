import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const DEAD = {
  id: '01KB0Q3M7Z8E5K3V1R6T2Y9WXC',
  type: 'dev.layermesh.tag.moved.v1',
  subject: 'team/app:1',
  time: new Date().toISOString(),
  attempts: 20,
  lastError: 'the receiver answered 500',
  diedAt: new Date().toISOString()
}
const STATE = {
  name: 'ci',
  origin: 'https://hooks.example',
  format: 'cloudevents',
  state: 'failing',
  pending: 3,
  pendingBytes: 99,
  dead: 1,
  lastError: 'the receiver answered 500',
  nextAttemptAt: new Date(Date.now() + 60_000).toISOString(),
  attempts: [],
  deadLetters: [DEAD]
}

let server: FakeServer
let asked: { readonly url: string | undefined; readonly token: string | undefined; readonly body: unknown }[]
afterEach(() => server.close())

async function answer(value: unknown): Promise<void> {
  asked = []
  server = await startFakeServer(async (request, response) => {
    const body = await text(request)
    asked.push({ url: request.url, token: request.headers.authorization, body: body && JSON.parse(body) })
    response.end(JSON.stringify(value))
  })
}

async function run(...args: string[]) {
  const context = fakeContext({ LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'token' })
  const exitCode = await runCommandLine(['webhook', ...args], context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

it('lists webhooks and the events that were given up', async () => {
  await answer({ webhooks: [STATE] })
  const { out } = await run('list')
  expect(out).toMatch(
    /ci +https:\/\/hooks\.example +cloudevents +failing, next in \d+ s +3 +1 +the receiver answered 500/
  )
  expect(out).toMatch(/ci +01KB0Q3M7Z8E5K3V1R6T2Y9WXC +dev\.layermesh\.tag\.moved\.v1 +team\/app:1 +\d+ s ago/)
  expect(asked).toMatchObject([{ url: '/api/v1/webhooks?', token: 'Bearer token' }])
  expect(JSON.parse((await run('list', '--json')).out)).toEqual([STATE])
})

it('says that none are configured', async () => {
  await answer({ webhooks: [] })
  expect((await run('list')).out).toContain('no webhooks are configured')
})

it('delivers again what it is told to', async () => {
  await answer({ events: 2 })
  expect(await run('redeliver', 'ci', '--dead')).toMatchObject({ exitCode: 0, out: '2 to be delivered again\n' })
  expect(await run('redeliver', 'ci', DEAD.id)).toMatchObject({ exitCode: 0 })
  expect(asked.map(({ body }) => body)).toEqual([{ name: 'ci' }, { name: 'ci', id: DEAD.id }])
  expect((await run('redeliver', 'ci')).exitCode).toBe(2)
  expect((await run('redeliver', 'ci', DEAD.id, '--dead')).exitCode).toBe(2)
  expect(asked).toHaveLength(2)
})

it('tells how a ping went, by its exit code too', async () => {
  await answer({ delivered: true, status: 204, durationMs: 12 })
  expect(await run('test', 'ci')).toMatchObject({ exitCode: 0, out: 'delivered in 12 ms: HTTP status 204\n' })
  await server.close()
  await answer({ delivered: false, error: 'no answer within 10000 ms', durationMs: 10_000 })
  expect(await run('test', 'ci')).toMatchObject({
    exitCode: 1,
    err: 'layermesh: the ping was not delivered: no answer within 10000 ms\n'
  })
})
