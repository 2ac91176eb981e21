import { text as readBody } from 'node:stream/consumers'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { startFakeServer } from '../testing/fake-server.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const [A, B, C] = [`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`, `sha256:${'b'.repeat(63)}c`]
const CHANGES = [
  { sequence: 3_145_728, at: new Date().toISOString(), previous: B, signer: PEER },
  {
    sequence: 2_097_152,
    at: new Date().toISOString(),
    digest: B,
    previous: A,
    actor: 'bob\u001b[2J',
    node: PEER,
    signer: PEER
  },
  {
    sequence: 1_048_576,
    at: new Date().toISOString(),
    digest: A,
    previous: C,
    actor: 'alice',
    node: PEER,
    signer: PEER
  }
]

let environment: Record<string, string>
let asked: string[]
beforeEach(async () => {
  asked = []
  const server = await startFakeServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://node')
    asked.push(`${request.method} ${decodeURIComponent(url.pathname + url.search)} ${await readBody(request)}`.trim())
    const answers: Record<string, unknown> = {
      '/api/v1/status': { registry: 'http://127.0.0.1:5000' },
      '/api/v1/tags/history': CHANGES,
      '/api/v1/tags/restore': { digest: A }
    }
    response.end(JSON.stringify(answers[url.pathname]))
  })
  environment = { LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'secret' }
  onTestFinished(() => server.close())
})

async function run(...args: string[]) {
  const context = fakeContext(environment)
  const exitCode = await runCommandLine(args, context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

it('shows who changed a tag, when, and from what', async () => {
  const { out } = await run('history', 'localhost:5000/team/app:1')
  const rows = out.split('\n')
  expect(rows[0]).toMatch(/^SEQUENCE +WHEN +WHO +MEANT +BEFORE +BY NODE +SIGNED BY$/)
  expect(rows[1]).toMatch(/^3145728 .* - +deleted +sha256:bbbbbbbbbbbb +- /)
  expect(rows[3]).toMatch(/^1048576 .* alice +sha256:aaaaaaaaaaaa +sha256:bbbbbbbbbbbb +…/)
  expect(out).not.toContain('\u001b')
  expect(asked).toContain('GET /api/v1/tags/history?reference=team/app:1&limit=100')
  expect(JSON.parse((await run('history', 'team/app:1', '--json')).out)).toEqual(CHANGES)
})

it('goes back to a change by its sequence, or to a digest by as much of it as is shown', async () => {
  expect((await run('restore', 'team/app:1', '1048576')).out).toBe(`team/app:1 means ${A} again\n`)
  expect(asked.at(-1)).toBe('POST /api/v1/tags/restore {"reference":"team/app:1","sequence":1048576}')
  await run('restore', 'team/app:1', 'sha256:aaaaaaaaaaaa')
  expect(asked.at(-1)).toBe(`POST /api/v1/tags/restore {"reference":"team/app:1","digest":"${A}"}`)
  expect(await run('restore', 'team/app:1', 'sha256:bbbbbbbbbbbb')).toMatchObject({
    exitCode: 1,
    err: expect.stringMatching(/more than one digest/)
  })
  expect(await run('restore', 'team/app:1', 'sha256:cccccccccccc')).toMatchObject({
    exitCode: 1,
    err: expect.stringMatching(/has not meant/)
  })
  expect(await run('restore', 'team/app:1', 'yesterday')).toMatchObject({ exitCode: 2 })
})
