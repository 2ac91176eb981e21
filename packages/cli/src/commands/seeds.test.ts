import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as readBody } from 'node:stream/consumers'
import { expect, it, onTestFinished } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { startFakeServer } from '../testing/fake-server.ts'

const SEED = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const OTHER = '12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5'

async function makeDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-seeds-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Runs the command line; gives what it wrote. */
async function run(args: readonly string[], environment: Record<string, string> = {}) {
  const context = fakeContext(environment)
  const exitCode = await runCommandLine(args, context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

async function makeRoot(directory: string): Promise<{ key: string; peerId: string }> {
  const key = join(directory, 'root.key')
  const { out } = await run(['keys', 'root', 'new', key])
  return { key, peerId: out.trim() }
}

it('makes a root key once, for its owner only, and tells its peer id', async () => {
  const directory = await makeDirectory()
  const { key, peerId } = await makeRoot(directory)
  expect(peerId).toMatch(/^12D3KooW/)
  expect((await stat(key)).mode & 0o777).toBe(0o600)
  expect((await run(['keys', 'root', 'show', key])).out.trim()).toBe(peerId)
  expect(await run(['keys', 'root', 'new', key])).toMatchObject({
    exitCode: 1,
    err: expect.stringMatching(/there already/)
  })
  expect((await run(['keys', 'root', 'show', key])).out.trim()).toBe(peerId)
})

it('signs sets one after the other without a network, and shows them', async () => {
  const directory = await makeDirectory()
  const { key, peerId } = await makeRoot(directory)
  const set = join(directory, 'seeds')
  const sign = (...args: string[]) => run(['seeds', 'sign', '--root-key', key, '--out', set, ...args])
  expect(await sign('--seed', `${SEED}=team/**`, '--seed', OTHER, '--valid', '30d')).toMatchObject({ exitCode: 0 })
  expect(await sign('--revoke', OTHER, '--retire', `${SEED}=2030-01-01`)).toMatchObject({ exitCode: 0 })
  const { out } = await run(['seeds', 'show', set, '--json'])
  expect(JSON.parse(out)).toMatchObject({
    root: peerId,
    sequence: 2,
    revoked: [OTHER],
    seeds: [{ peerId: SEED, repositories: ['team/**'], notAfter: '2030-01-01T00:00:00.000Z' }]
  })
  const table = (await run(['seeds', 'show', set])).out
  expect(table).toMatch(/^sequence +2$/m)
  expect(table).toMatch(new RegExp(`^${SEED} +team/\\*\\* +2030-01-01`, 'm'))
})

it('refuses what is no set, a set of another root, and a seed that is none', async () => {
  const directory = await makeDirectory()
  const { key } = await makeRoot(directory)
  const set = join(directory, 'seeds')
  const sign = (...args: string[]) => run(['seeds', 'sign', '--root-key', key, '--out', set, ...args])
  expect(await sign()).toMatchObject({ exitCode: 2, err: expect.stringMatching(/would name no seed/) })
  expect(await sign('--seed', 'alice')).toMatchObject({ exitCode: 1, err: expect.stringMatching(/no peer id/) })
  expect(await sign('--seed', SEED)).toMatchObject({ exitCode: 0 })
  expect(await run(['seeds', 'show', key])).toMatchObject({ exitCode: 1, err: expect.stringMatching(/no seed set/) })
  await rm(key)
  await makeRoot(directory)
  expect(await sign('--seed', OTHER)).toMatchObject({ exitCode: 1, err: expect.stringMatching(/another root/) })
})

it('has tags brought back until all were looked at, and tells which were not', async () => {
  const failed = [{ reference: 'team/app:1', reason: 'no change before that time is remembered' }]
  const answers = [
    { restored: 7, failed: [], failures: 0, complete: false },
    { restored: 2, failed, failures: 1, complete: true }
  ]
  const asked: string[] = []
  const server = await startFakeServer(async (request, response) => {
    asked.push(await readBody(request))
    response.end(JSON.stringify(answers.shift()))
  })
  onTestFinished(() => server.close())
  const environment = { LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'secret' }
  const { out } = await run(['seeds', 'recover', SEED, '--before', '2027-01-31T12:00+01:00'], environment)
  expect(out).toMatch(/^9 tags mean again .*\n1 were not:\nTAG +WHY\nteam\/app:1 +no change/)
  expect(asked).toEqual(Array(2).fill(JSON.stringify({ signer: SEED, before: '2027-01-31T11:00:00.000Z' })))
  expect(await run(['seeds', 'recover', SEED, '--before', '30d'], environment)).toMatchObject({ exitCode: 2 })
})

it('publishes a set with the admin token, and shows the one that counts', async () => {
  const directory = await makeDirectory()
  const { key } = await makeRoot(directory)
  const [set, copy] = [join(directory, 'seeds'), join(directory, 'copy')]
  await run(['seeds', 'sign', '--root-key', key, '--out', set, '--seed', SEED])
  const envelope = (await readFile(set, 'utf8')).trim()
  const asked: unknown[] = []
  const server = await startFakeServer(async (request, response) => {
    asked.push([request.method, request.url, request.headers.authorization, await readBody(request)])
    const answer = request.method === 'POST' ? { sequence: 1, outcome: 'new' } : { root: 'r', envelope, trusted: true }
    response.end(JSON.stringify(answer))
  })
  onTestFinished(() => server.close())
  const environment = { LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'secret' }
  expect((await run(['seeds', 'publish', set], environment)).out).toMatch(/tells the others/)
  expect((await run(['seeds', 'show', '--out', copy], environment)).out).toContain(SEED)
  expect(await readFile(copy, 'utf8')).toBe(await readFile(set, 'utf8'))
  expect(asked).toEqual([
    ['POST', '/api/v1/seeds', 'Bearer secret', JSON.stringify({ envelope })],
    ['GET', '/api/v1/seeds?', 'Bearer secret', '']
  ])
})
