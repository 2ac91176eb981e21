import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const SUMMARY = {
  id: '0123456789abcdef',
  name: 'builds\u001b[2J',
  user: 'ci',
  scopes: [{ repositories: 'team/**', actions: ['pull', 'create'] }],
  createdAt: new Date().toISOString(),
  expiresAt: new Date(Date.now() + 90 * 86_400_000).toISOString(),
  seed: '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
}
const MADE = { key: 'lmk_0123456789abcdef_secret', ...SUMMARY }

let server: FakeServer
let asked: { readonly method: string | undefined; readonly url: string | undefined; readonly body: unknown }[]
afterEach(() => server?.close())

async function answer(value: unknown): Promise<void> {
  asked = []
  server = await startFakeServer(async (request, response) => {
    const body = await text(request)
    asked.push({ method: request.method, url: request.url, body: body && JSON.parse(body) })
    response.end(JSON.stringify(value))
  })
}

async function run(...args: string[]) {
  const context = fakeContext({ LAYERMESH_ADMIN: server?.url, LAYERMESH_ADMIN_TOKEN: 'token' })
  const exitCode = await runCommandLine(['token', ...args], context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

it('makes a key, and prints nothing else where scripts read it', async () => {
  await answer(MADE)
  const flags = ['--user', 'ci', '--repositories', 'team/**', '--repositories', 'base', '--actions', 'pull, create']
  const { out, err } = await run('new', ...flags, '--expires', '12h', '--name', 'builds')
  expect(out).toBe(`${MADE.key}\n`)
  expect(err).toContain('layermesh token revoke 0123456789abcdef')
  const actions = ['pull', 'create']
  const body = {
    user: 'ci',
    name: 'builds',
    lifetimeMs: 43_200_000,
    scopes: [
      { repositories: 'team/**', actions },
      { repositories: 'base', actions }
    ]
  }
  expect(asked).toEqual([{ method: 'POST', url: '/api/v1/keys', body }])
  expect(JSON.parse((await run('new', ...flags, '--json')).out)).toEqual(MADE)
})

it('needs to be told whose key it is to be, for what, and until when', async () => {
  await answer(MADE)
  expect(await run('new', '--repositories', 'a')).toMatchObject({ exitCode: 2, out: '' })
  expect(await run('new', '--user', 'a')).toMatchObject({ exitCode: 2, out: '' })
  const wrong = await run('new', '--user', 'a', '--repositories', 'a', '--expires', 'soon')
  expect(wrong).toMatchObject({ exitCode: 2, err: expect.stringContaining('--expires: expected a duration') })
  expect(asked).toEqual([])
})

it('lists keys', async () => {
  await answer({ keys: [SUMMARY] })
  expect((await run('list')).out).toMatch(/0123456789abcdef +ci +builds�\[2J +team\/\*\* \(pull,create\) +in 90 d +…/)
  expect(JSON.parse((await run('list', '--json')).out)).toEqual([SUMMARY])
})

it('says that there are none', async () => {
  await answer({ keys: [] })
  expect((await run('list')).out).toContain('there are no API keys')
})

it('revokes a key', async () => {
  await answer({ id: SUMMARY.id })
  expect((await run('revoke', SUMMARY.id)).out).toBe('revoked 0123456789abcdef\n')
  expect(asked).toEqual([{ method: 'DELETE', url: '/api/v1/keys', body: { id: SUMMARY.id } }])
})
