import { text as readBody } from 'node:stream/consumers'
import { expect, it, onTestFinished } from 'vitest'
import { runCommandLine } from '../run.ts'
import { FakeOutput, fakeContext } from '../testing/fake-context.ts'
import { startFakeServer } from '../testing/fake-server.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const BAD = { digest: DIGEST, size: 2_097_152, repository: 'team/app', badPieces: 1 }
const COUNT = { blobs: 1, bytes: 1_048_576, ofBlobs: 2, ofBytes: 4_194_304 }
const REPAIRED = [
  { type: 'progress', progress: { count: COUNT } },
  { type: 'progress', progress: { bad: { ...BAD, state: 'fetching' } } },
  { type: 'progress', progress: { bad: { ...BAD, state: 'repaired' } } },
  { type: 'done', result: { blobs: 2, bytes: 4_194_304, repaired: 1, lost: 0 } }
]
const LOST = [
  { type: 'progress', progress: { bad: { ...BAD, badPieces: 0, state: 'lost', reason: 'nobody has it\u001b[2J' } } },
  { type: 'done', result: { blobs: 2, bytes: 4_194_304, repaired: 0, lost: 1 } }
]

async function verify(events: readonly object[], args: string[] = [], isTerminal = false) {
  const asked: string[] = []
  const server = await startFakeServer(async (request, response) => {
    asked.push(`${request.method} ${request.url} ${await readBody(request)}`.trim())
    response.end(events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  })
  onTestFinished(() => server.close())
  const context = {
    ...fakeContext({ LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'secret' }),
    out: new FakeOutput({ isTerminal })
  }
  const exitCode = await runCommandLine(['verify', ...args], context)
  return { exitCode, out: context.out.text, err: context.err.text, asked }
}

it('tells what was bad and fetched anew', async () => {
  const { exitCode, out, asked } = await verify(REPAIRED)
  expect(exitCode).toBe(0)
  expect(asked).toEqual(['POST /api/v1/verify {}'])
  expect(out).toBe(
    'sha256:aaaaaaaaaaaa of team/app, 2.0 MiB: 1 bad pieces; fetched anew\n2 blobs, 4.0 MiB: 1 were bad and were fetched anew\n'
  )
})

it('fails when something stays bad', async () => {
  const { exitCode, out, err } = await verify(LOST)
  expect(exitCode).toBe(1)
  expect(out).toContain('its file was missing or cut; lost: nobody has it')
  expect(out).not.toContain('\u001b')
  expect(err).toContain('1 of 2 blobs are bad, and nobody could give them')
})

it('draws a bar on a terminal', async () => {
  const { out } = await verify(REPAIRED, [], true)
  expect(out).toContain('[#######.......................] 1.0 MiB of 4.0 MiB, 1 of 2 blobs')
  expect(out).toContain('fetching it anew')
})

it('passes on what comes for machines, and the rate', async () => {
  const { exitCode, out, asked } = await verify(LOST, ['--json', '--rate', '8MiB/s'])
  expect(exitCode).toBe(1)
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  ).toEqual(LOST)
  expect(asked).toEqual(['POST /api/v1/verify {"bytesPerSecond":8388608}'])
})

it('fails when the node refuses or breaks off, and for a rate that is none', async () => {
  const error = { code: 'TOOMANYREQUESTS', message: 'it runs already' }
  expect(await verify([{ type: 'error', error }])).toMatchObject({
    exitCode: 1,
    err: expect.stringContaining('it runs already')
  })
  expect(await verify([])).toMatchObject({ exitCode: 1, err: expect.stringContaining('ended the verification early') })
  expect(await verify([], ['--rate', 'slow'])).toMatchObject({ exitCode: 2, asked: [] })
})
