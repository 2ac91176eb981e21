import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { ArchiveFixture, LayoutFiles, named } from '../testing/archives.ts'
import { fakeContext } from '../testing/fake-context.ts'
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts'

const PASSWORD = Buffer.from('ann:pass word').toString('base64')

/** As much of a registry as the commands need; in memory. */
class FakeRegistry {
  readonly content = new Map<string, Buffer>()
  readonly asked: string[] = []
  readonly authorizations = new Set<string | undefined>()
  needsLogin = false
  /** Says of all blobs that they are there, though it takes no manifest of which it has not all. */
  saysAllIsThere = false

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers } = request
    const url = new URL(request.url ?? '', 'http://registry')
    this.asked.push(`${method} ${url.pathname}`)
    this.authorizations.add(headers.authorization)
    const body = await buffer(request)
    if (this.needsLogin && !headers.authorization?.endsWith(PASSWORD)) return void response.writeHead(401).end()
    const missing = this.saysAllIsThere ? this.missingOf(method, body) : []
    if (missing.length > 0)
      return void response.writeHead(400).end(JSON.stringify({ errors: [{ detail: { missing } }] }))
    if (method === 'HEAD' && this.saysAllIsThere) return void response.writeHead(200).end()
    if (method === 'POST') {
      response.writeHead(202, { location: 'http://elsewhere.example/v2/team/app/blobs/uploads/1?state=2' }).end()
    } else if (method === 'PUT') {
      const key = url.searchParams.get('digest') ?? url.pathname.split('/').at(-1) ?? ''
      this.content.set(key, body)
      const tag = url.searchParams.get('tag')
      if (tag !== null) this.content.set(tag, body)
      response.writeHead(201).end()
    } else {
      const found = this.content.get(url.pathname.split('/').at(-1) ?? '')
      if (found === undefined) return void response.writeHead(404).end('{"errors":[{"message":"not here"}]}')
      const digest = `sha256:${createHash('sha256').update(found).digest('hex')}`
      response.setHeader('content-type', MEDIA_TYPE.ociManifest).setHeader('docker-content-digest', digest).end(found)
    }
  }

  private missingOf(method: string, body: Buffer): string[] {
    const named = method === 'PUT' ? body.toString().match(/sha256:[0-9a-f]{64}/g) : null
    return (named ?? []).filter((digest) => !this.content.has(digest))
  }
}

let fixture: ArchiveFixture
let registry: FakeRegistry
let server: FakeServer
beforeEach(async () => {
  fixture = await ArchiveFixture.create()
  registry = new FakeRegistry()
  server = await startFakeServer((request, response) => void registry.answer(request, response))
})
afterEach(async () => {
  await server.close()
  await fixture[Symbol.asyncDispose]()
})

async function run(command: string, args: readonly string[], secrets: readonly string[] = []) {
  const context = fakeContext({}, secrets)
  const exitCode = await runCommandLine([command, ...args, '--registry', server.url], context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

async function layout(): Promise<{ path: string; digest: string }> {
  const files = new LayoutFiles()
  const image = files.image('a')
  return { path: await fixture.files(files.finish([named(image, 'team/app:1')])), digest: image.digest }
}

it('pushes blobs before what names them, and nothing that is there already', async () => {
  const { path, digest } = await layout()
  expect(await run('import', [path])).toMatchObject({ exitCode: 0, err: '', out: expect.stringContaining(digest) })
  expect(registry.asked.at(-1)).toBe(`PUT /v2/team/app/manifests/${digest}`)
  expect(registry.asked.filter((line) => line.startsWith('POST'))).toHaveLength(2)
  registry.asked.length = 0
  await run('import', [path])
  expect(registry.asked.filter((line) => line.startsWith('POST'))).toEqual([])
})

it('pushes what the registry said to be there and then lacks', async () => {
  registry.saysAllIsThere = true
  const { path, digest } = await layout()
  expect(await run('import', [path])).toMatchObject({ exitCode: 0, err: '' })
  expect(registry.content.has(digestOf(Buffer.from('layer of a')))).toBe(true)
  expect(registry.asked.filter((line) => line === `PUT /v2/team/app/manifests/${digest}`)).toHaveLength(2)
})

it('shows who it is with each request, and says so where that is needed', async () => {
  const { path } = await layout()
  registry.needsLogin = true
  const refused = await run('import', [path])
  expect(refused).toMatchObject({ exitCode: 1, err: expect.stringContaining('--username and --password-stdin') })
  const wrong = await run('import', [path, '--username', 'ann', '--password-stdin'], ['wrong'])
  expect(wrong).toMatchObject({
    exitCode: 1,
    err: expect.stringContaining('does not take this user name and password')
  })
  registry.authorizations.clear()
  expect((await run('import', [path, '--username', 'ann', '--password-stdin'], ['pass word'])).exitCode).toBe(0)
  expect([...registry.authorizations]).toEqual([`Basic ${PASSWORD}`])
})

it('sends no password where others could read it', async () => {
  const { path } = await layout()
  const context = fakeContext({}, ['secret'])
  const flags = ['--username', 'ann', '--password-stdin', '--registry', 'http://registry.example:5000']
  expect(await runCommandLine(['import', path, ...flags], context)).toBe(2)
  expect(context.err.text).toContain('in plain text')
  expect(context.err.text).not.toContain('secret')
})

it('pushes nothing of a blob that is not what its digest says', async () => {
  const files = new LayoutFiles()
  const image = files.image('a')
  const layer = `blobs/${digestOf(Buffer.from('layer of a')).replace(':', '/')}`
  const path = await fixture.files({ ...files.finish([named(image, 'team/app:1')]), [layer]: 'layer of b' })
  expect(await run('import', [path])).toMatchObject({ exitCode: 1, err: expect.stringContaining('is broken') })
  expect(registry.content.has(digestOf(Buffer.from('layer of a')))).toBe(false)
  expect(registry.content.has('1')).toBe(false)
})

it('leaves nothing where an export failed, not even a part', async () => {
  const { path } = await layout()
  await run('import', [path])
  registry.content.set(digestOf(Buffer.from('layer of a')), Buffer.from('layer of b'))
  const target = join(fixture.directory, 'out.tar')
  const failed = await run('export', ['team/app:1', '-o', target])
  expect(failed).toMatchObject({ exitCode: 1, err: expect.stringContaining('gave other bytes') })
  expect(await readdir(fixture.directory)).toEqual(['layout'])
  registry.content.set(digestOf(Buffer.from('layer of a')), Buffer.from('layer of a'))
  expect((await run('export', ['team/app:1', '-o', target])).exitCode).toBe(0)
  expect((await stat(target)).size).toBeGreaterThan(0)
})

it.each([
  ['a platform that is none', ['import', 'x', '--platform', 'linux']],
  ['a name that is none', ['export', 'Not A Name', '-o', 'x']],
  ['one name for several', ['export', 'a', 'b', '--as', 'c', '-o', 'x']],
  ['a password without its user', ['import', 'x', '--password-stdin']]
])('refuses %s', async (_what, [command = '', ...args]) => {
  expect((await run(command, args)).exitCode).toBe(2)
  expect(registry.asked).toEqual([])
})
