import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const NODE = { peerId: PEER, zone: 'eu', size: 1, heldBytes: 1, receivedBytes: 1 }
const FAILED = { ...NODE, state: 'failed', error: { code: 'DENIED', message: 'for seeds only\nand more' } }

let server: FakeServer | undefined
afterEach(() => server?.close())

async function prefetch(events: readonly unknown[], ...args: string[]) {
  const asked: unknown[] = []
  server = await startFakeServer(async (request, response) => {
    if (request.method !== 'POST') return void response.end('{"registry":"http://127.0.0.1:5000"}')
    asked.push([request.url, request.headers.authorization, JSON.parse(await text(request))])
    response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  })
  const context = fakeContext({ LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'token' })
  const exitCode = await runCommandLine(['prefetch', ...args], context)
  return { exitCode, out: context.out.text, err: context.err.text, asked }
}

it('has the chosen nodes fetch, with the admin token', async () => {
  const done = { type: 'done', result: { nodes: 2, failed: 0 } }
  const flags = ['--zone', 'eu', '--zone', 'us', '--node', PEER, '--platform', 'linux/arm64', '--deadline', '10s']
  const { exitCode, out, asked } = await prefetch([done], 'localhost:5000/team/app:1', ...flags)
  expect([exitCode, out]).toEqual([0, '2 nodes have localhost:5000/team/app:1\n'])
  const zones = ['eu', 'us']
  const input = { reference: 'team/app:1', nodes: [PEER], zones, all: false, platform: 'linux/arm64' }
  expect(asked).toEqual([['/api/v1/prefetch', 'Bearer token', { ...input, deadlineMs: 10_000 }]])
})

it('fails when a node failed, with one line why for each', async () => {
  const events = [
    { type: 'progress', progress: { ...NODE, state: 'fetching' } },
    { type: 'progress', progress: FAILED },
    { type: 'done', result: { nodes: 3, failed: 1 } }
  ]
  const { exitCode, err } = await prefetch(events, 'team/app:1', '--all')
  expect(exitCode).toBe(1)
  expect(err).toBe(`${PEER} in eu: for seeds only�and more\nlayermesh: 1 of 3 nodes did not fetch team/app:1\n`)
})

it.each([
  ['without nodes', ['team/app:1']],
  ['of no platform', ['team/app:1', '--all', '--platform', 'linux']],
  ['of no image', ['Team/../app', '--all']],
  ['until never', ['team/app:1', '--all', '--deadline', 'soon']]
])('is not asked for %s', async (_what, args) => {
  expect(await prefetch([], ...args)).toMatchObject({ exitCode: 2, asked: [] })
})
