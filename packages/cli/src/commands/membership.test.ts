import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const TICKET = {
  id: 'a1',
  peerId: PEER,
  issuedAt: '2026-11-26T00:00:00.000Z',
  expiresAt: '2026-12-26T00:00:00.000Z',
  revoked: false
}

let server: FakeServer
let asked: { readonly request: string; readonly token: string | undefined; readonly body: unknown }[]
afterEach(() => server.close())

async function answer(value: unknown, status = 200): Promise<void> {
  asked = []
  server = await startFakeServer(async (request, response) => {
    const body = await text(request)
    const { method, url, headers } = request
    asked.push({ request: `${method} ${url}`, token: headers.authorization, body: body && JSON.parse(body) })
    response.writeHead(status).end(JSON.stringify(value))
  })
}

async function run(...args: string[]) {
  const context = fakeContext({ LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'token' })
  const exitCode = await runCommandLine(args, context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

it('has a seed revoke a peer, and warns when it could come back by another name', async () => {
  await answer({ peerId: PEER, bySecret: true })
  expect(await run('peer', 'revoke', PEER)).toEqual({
    exitCode: 0,
    out: `${PEER} is kept out of the mesh\n`,
    err: expect.stringContaining('change it')
  })
  expect(asked).toEqual([{ request: 'POST /api/v1/peers/revoke', token: 'Bearer token', body: { peerId: PEER } }])
  await server.close()
  await answer({ peerId: PEER, bySecret: false })
  expect((await run('peer', 'revoke', PEER)).err).toBe('')
})

it('has a seed restore a peer', async () => {
  await answer({ peerId: PEER })
  expect(await run('peer', 'restore', PEER)).toMatchObject({ exitCode: 0, out: `${PEER} may come in again\n` })
  expect(asked).toMatchObject([{ request: 'POST /api/v1/peers/restore', body: { peerId: PEER } }])
})

it('shows who is kept out', async () => {
  await answer({ peers: [{ peerId: PEER, revokedBy: [PEER] }] })
  expect((await run('peer', 'list-revoked')).out).toMatch(new RegExp(`${PEER} +…vnc6iDEp`))
  await server.close()
  await answer({ peers: [] })
  expect((await run('peer', 'list-revoked')).out).toBe('no node is kept out\n')
})

it('prints a new ticket, or writes it to a file', async () => {
  await answer({ ...TICKET, text: 'TEXT' })
  expect(await run('ticket', 'new', '--peer', PEER)).toEqual({ exitCode: 0, out: 'TEXT\n', err: '' })
  expect(asked[0]?.body).toEqual({ peerId: PEER, validMs: 30 * 86_400_000 })
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-ticket-'))
  try {
    const file = join(directory, 'ticket')
    const { out } = await run('ticket', 'new', '--peer', PEER, '--valid', '12h', '--out', file)
    expect(out).toContain('ticket a1, good until 2026-12-26')
    expect(await readFile(file, 'utf8')).toBe('TEXT\n')
    expect(asked[1]?.body).toEqual({ peerId: PEER, validMs: 43_200_000 })
  } finally {
    await rm(directory, { recursive: true })
  }
})

it('lists tickets and has one revoked', async () => {
  await answer({ tickets: [TICKET, { ...TICKET, id: 'b2', revoked: true }] })
  expect((await run('ticket', 'list')).out).toMatch(/a1 .* good\nb2 .* revoked\n/)
  await run('ticket', 'revoke', 'a1')
  expect(asked.at(-1)).toMatchObject({ request: 'POST /api/v1/tickets/revoke', body: { id: 'a1' } })
})

it('says what is wrong with a duration, and what a node refused', async () => {
  await answer({ error: { code: 'NOT_A_SEED', message: 'this node is no seed' } }, 409)
  expect(await run('ticket', 'new', '--peer', PEER, '--valid', 'long')).toMatchObject({ exitCode: 2 })
  expect(await run('peer', 'revoke', PEER)).toMatchObject({
    exitCode: 1,
    err: expect.stringContaining('this node is no seed')
  })
})
