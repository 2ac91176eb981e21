import { text as readBody } from 'node:stream/consumers'
import { expect, it, onTestFinished } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { startFakeServer } from '../testing/fake-server.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const RESULT = {
  dryRun: true,
  complete: false,
  repositories: 3,
  tags: [{ repository: 'team/app', tag: 'v1', digest: DIGEST }],
  manifests: [{ repository: 'team/app', digest: DIGEST }],
  spared: [{ reference: 'team/lib', reason: 'it is not known' }],
  counts: { tags: 1, manifests: 1, spared: 1 }
}

async function open() {
  const asked: string[] = []
  const server = await startFakeServer(async (request, response) => {
    asked.push(`${request.method} ${request.url} ${await readBody(request)}`.trim())
    const { dryRun } = JSON.parse(asked.at(-1)?.split(' ')[2] ?? '{}')
    response.end(JSON.stringify({ ...RESULT, dryRun, complete: dryRun !== true }))
  })
  onTestFinished(() => server.close())
  const run = async (...args: string[]) => {
    const context = fakeContext({ LAYERMESH_ADMIN: server.url, LAYERMESH_ADMIN_TOKEN: 'secret' })
    const exitCode = await runCommandLine(['retention', 'run', ...args], context)
    return { exitCode, out: context.out.text }
  }
  return { asked, run }
}

it('shows what would be removed, and that there is more', async () => {
  const { asked, run } = await open()
  const { exitCode, out } = await run('--dry-run')
  expect(asked).toEqual(['POST /api/v1/retention/run {"dryRun":true}'])
  expect(exitCode).toBe(0)
  expect(out).toMatch(
    /^WHAT +WHERE +WHICH *\ntag +team\/app:v1 +sha256:aaaaaaaaaaaa *\nmanifest +team\/app +sha256:aaaaaaaaaaaa *\nleft +team\/lib +it is not known *\n/
  )
  expect(out).toContain('1 tags and 1 manifests would be removed, in 3 repositories; the time was over')
})

it('removes, and tells machines what came of it', async () => {
  const { asked, run } = await open()
  expect((await run()).out).toMatch(/\n1 tags and 1 manifests removed, in 3 repositories\n$/)
  expect(asked).toEqual(['POST /api/v1/retention/run {"dryRun":false}'])
  expect(JSON.parse((await run('--json')).out)).toEqual({ ...RESULT, dryRun: false, complete: true })
})
