import { text as readBody } from 'node:stream/consumers'
import { beforeEach, expect, it, onTestFinished } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { startFakeServer } from '../testing/fake-server.ts'

const DIGEST = `sha256:${'a'.repeat(64)}`
const PIN = { reference: 'team/app:1', repository: 'team/app', digest: DIGEST, at: new Date().toISOString() }
const PART = { scanned: 10, unlinked: 1, blobs: 2, partials: 3, bytes: 1024, rows: 4, spared: 5 }

let environment: Record<string, string>
let asked: string[]
let collections: (typeof PART & { complete: boolean })[]
beforeEach(async () => {
  asked = []
  collections = []
  const server = await startFakeServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://node')
    asked.push(`${request.method} ${url.pathname} ${await readBody(request)}`.trim())
    const pins = { GET: [PIN], POST: PIN, DELETE: { removed: 1 } }
    const answers: Record<string, unknown> = {
      '/api/v1/status': { registry: 'http://127.0.0.1:5000' },
      '/api/v1/pins': pins[request.method as keyof typeof pins],
      '/api/v1/gc': collections.shift()
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

it('asks for garbage to be collected until all was looked at, and adds up what was removed', async () => {
  collections = [
    { ...PART, complete: false },
    { ...PART, complete: true }
  ]
  const { out } = await run('gc', '--json')
  expect(JSON.parse(out)).toEqual({
    complete: true,
    scanned: 20,
    unlinked: 2,
    blobs: 4,
    partials: 6,
    bytes: 2048,
    rows: 8,
    spared: 10
  })
  expect(asked).toEqual(['POST /api/v1/gc {"dryRun":false}', 'POST /api/v1/gc {"dryRun":false}'])
})

it('says what would be removed, and when not all was looked at', async () => {
  collections = [{ ...PART, complete: false }]
  const { out } = await run('gc', '--dry-run')
  expect(asked).toEqual(['POST /api/v1/gc {"dryRun":true}'])
  expect(out).toMatch(/looked at +10 blobs, not all/)
  expect(out).toMatch(/would be removed +2 blobs and 3 unfinished downloads, 1\.0 KiB/)
})

it('pins and unpins images, by their names in the mesh', async () => {
  expect((await run('pin', 'localhost:5000/team/app:1')).out).toContain(DIGEST)
  expect((await run('unpin', 'team/app:1')).exitCode).toBe(0)
  expect(asked.filter((line) => line.includes('pins'))).toEqual([
    'POST /api/v1/pins {"reference":"team/app:1"}',
    'DELETE /api/v1/pins {"reference":"team/app:1"}'
  ])
  expect((await run('pins')).out).toMatch(/team\/app:1 +sha256:aaaaaaaaaaaa +\d s/)
})
