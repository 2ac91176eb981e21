import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const DIGEST = `sha256:${'a'.repeat(64)}`
const TIME = new Date().toISOString()

const ANSWERS: Readonly<Record<string, unknown>> = {
  '/api/v1/status': {
    peerId: PEER,
    role: 'seed',
    zone: 'eu',
    version: '1.2.3',
    startedAt: TIME,
    meshAddresses: ['/ip4/10.0.0.1/tcp/5002', '/ip4/10.0.0.2/tcp/5002'],
    registry: 'http://127.0.0.1:5000',
    peers: 2,
    store: { blobs: 3, bytes: 2048, arriving: 1, freeBytes: 1024, minFreeBytes: 64, pinnedBytes: 0, full: false },
    ready: false,
    notReady: ['no peer is connected yet']
  },
  '/api/v1/peers': [
    {
      peerId: PEER,
      addresses: ['/ip4/10.0.0.3/tcp/5002'],
      direction: 'inbound',
      zone: 'evil\u001b[2J',
      role: 'node',
      version: '1.2.3',
      roundTripMs: 1.25,
      receivedBytes: 1024,
      sentBytes: 0
    }
  ],
  '/api/v1/images': [
    {
      repository: 'team/app',
      tag: '1',
      digest: DIGEST,
      size: 2048,
      signedBy: PEER,
      sequence: 7,
      confirmedAt: TIME,
      complete: false
    }
  ],
  '/api/v1/transfers': [{ digest: DIGEST, size: 2048, heldBytes: 1024, sources: [{ peerId: PEER, bytes: 1024 }] }]
}
const DONE = {
  type: 'done',
  result: { repository: 'team/app', digest: DIGEST, mediaType: 'm', size: 1, receivedBytes: 0, sources: [] }
}

let server: FakeServer
afterEach(() => server.close())

function answer(request: IncomingMessage, response: ServerResponse): void {
  response.setHeader('content-type', 'application/json').end(JSON.stringify(ANSWERS[request.url ?? '']))
}

async function run(...args: string[]) {
  const context = fakeContext({ LAYERMESH_ADMIN: server.url })
  const exitCode = await runCommandLine(args, context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

/** A node that answers pulls with these lines; keeps what it was asked. */
async function pullServer(lines: readonly unknown[]): Promise<unknown[]> {
  const asked: unknown[] = []
  server = await startFakeServer(async (request, response) => {
    if (request.method !== 'POST') return answer(request, response)
    asked.push(JSON.parse(await text(request)))
    response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  })
  return asked
}

it('shows what a node knows', async () => {
  server = await startFakeServer(answer)
  const status = await run('status')
  expect(status).toMatchObject({ exitCode: 0, err: '' })
  expect(status.out).toContain('3 blobs, 2.0 KiB, 1.0 KiB free, 1 arriving')
  expect(status.out).toContain('no: no peer is connected yet')
  expect((await run('peers')).out).toMatch(new RegExp(`${PEER} +node +evil\ufffd.* 1\\.[23] ms +1\\.0 KiB +0 B`))
  expect((await run('images')).out).toMatch(/team\/app:1 +sha256:a{12} +2\.0 KiB +in part +…vnc6iDEp +7 +\d+ s ago/)
  expect((await run('transfers')).out).toMatch(/sha256:a{12} +2\.0 KiB +50 % +…vnc6iDEp 1\.0 KiB/)
})

it('prints the answers as they are with --json', async () => {
  server = await startFakeServer(answer)
  for (const name of ['status', 'peers', 'images', 'transfers']) {
    expect(JSON.parse((await run(name, '--json')).out)).toEqual(ANSWERS[`/api/v1/${name}`])
  }
})

it('says that there is nothing rather than showing an empty table', async () => {
  server = await startFakeServer((_request, response) => response.end('[]'))
  for (const name of ['peers', 'images', 'transfers']) expect((await run(name)).out).toMatch(/^no|^nothing/)
})

it('says so when something else answers, or the node refuses', async () => {
  server = await startFakeServer((_request, response) => response.end('<html>'))
  expect(await run('status')).toMatchObject({ exitCode: 1, err: expect.stringContaining('is no layermesh node') })
  await server.close()
  server = await startFakeServer((_request, response) => {
    response.writeHead(403).end('{"error":{"code":"HOST_REFUSED","message":"this name is not known here"}}')
  })
  expect((await run('status')).err).toContain('refused: this name is not known here')
})

it('pulls, and takes the name as the client spells it', async () => {
  const asked = await pullServer([DONE])
  expect(await run('pull', 'localhost:5000/team/app:1', '--deadline', '10s')).toMatchObject({ exitCode: 0, err: '' })
  expect((await run('pull', 'docker.io/library/nginx')).exitCode).toBe(0)
  expect(asked).toEqual([{ reference: 'team/app:1', deadlineMs: 10_000 }, { reference: 'docker.io/library/nginx' }])
})

it('fails with the reason that the node gives', async () => {
  await pullServer([{ type: 'error', error: { code: 'MANIFEST_UNKNOWN', message: 'nobody has it' } }])
  expect(await run('pull', 'team/app:1')).toEqual({
    exitCode: 1,
    out: '',
    err: 'layermesh: team/app:1 could not be pulled: nobody has it\n'
  })
})

it('fails when the node ends the pull early, or in the middle of a line', async () => {
  await pullServer([])
  expect(await run('pull', 'team/app:1')).toMatchObject({ exitCode: 1, err: expect.stringContaining('early') })
  await server.close()
  server = await startFakeServer((request, response) => {
    if (request.method !== 'POST') return answer(request, response)
    response.write('{"type":', () => response.destroy())
  })
  expect(await run('pull', 'team/app:1')).toMatchObject({ exitCode: 1, err: expect.stringContaining('broke off') })
})
