import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommandLine } from './run.ts'
import { fakeContext } from './testing/fake-context.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-cli-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function run(args: readonly string[], environment: Record<string, string> = {}) {
  const context = fakeContext(environment)
  const exitCode = await runCommandLine(args, context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

async function settings(text: string): Promise<string> {
  const path = join(directory, 'layermesh.yaml')
  await writeFile(path, text)
  return path
}

it('ends with 0 when help or the version was asked for', async () => {
  expect(await run(['--version'])).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  for (const args of [['--help'], ['help'], ['node', '--help'], ['config', 'show', '--help']]) {
    const { exitCode, out } = await run(args)
    expect(exitCode, args.join(' ')).toBe(0)
    expect(out).toContain('Usage: layermesh')
  }
})

it('ends with 2 on wrong usage, and says what was wrong', async () => {
  const wrong: [string[], string][] = [
    [[], 'Usage: layermesh'],
    [['nod'], 'Did you mean node?'],
    [['node', '--jion', 'x'], 'Did you mean --join?'],
    [['node', '--role', 'king'], 'Allowed choices are seed, node'],
    [['node', '--listen', '5000'], '--listen: registry.listen: expected HOST:PORT'],
    [['node', 'extra'], 'too many arguments'],
    [['pull'], "missing required argument 'REF'"],
    [['pull', 'Team/App'], 'Team/App names no image'],
    [['pull', 'app', '--deadline', 'soon'], '--deadline: expected a duration'],
    [['status', '--admin', 'http://['], 'is no address of an admin listener'],
    [['keys'], 'Usage: layermesh keys']
  ]
  for (const [args, told] of wrong) {
    const { exitCode, out, err } = await run(args)
    expect(err, args.join(' ')).toContain(told)
    expect([exitCode, out], args.join(' ')).toEqual([2, ''])
  }
})

it('leads from wrong usage to the help of the command that was used wrongly', async () => {
  const wrong: [string[], string][] = [
    [['nod'], 'layermesh'],
    [['pull'], 'layermesh pull'],
    [['setup', 'dokcer'], 'layermesh setup'],
    [['setup', 'docker', '--sotre', 'x'], 'layermesh setup docker']
  ]
  for (const [args, command] of wrong) {
    expect((await run(args)).err, args.join(' ')).toContain(`\nsee: ${command} --help\n`)
  }
})

it('ends with 1 and one plain line when it fails, with the stack only for who asks for it', async () => {
  const nobody = ['status', '--admin', 'http://127.0.0.1:9']
  const failed = await run(nobody)
  expect(failed).toMatchObject({ exitCode: 1, out: '' })
  expect(failed.err).toMatch(/^layermesh: the node at http:\/\/127\.0\.0\.1:9 can not be reached; .*--admin URL\n$/)
  expect((await run(nobody, { LAYERMESH_LOG_LEVEL: 'debug' })).err).toMatch(/\n {4}at /)
})

it('makes a secret', async () => {
  const { exitCode, out } = await run(['secret', 'new'])
  expect([exitCode, out]).toEqual([0, expect.stringMatching(/^[\w-]{43}\n$/)])
})

it('shows the peer id, the same one again, and makes the key when there is none', async () => {
  const first = await run(['keys', 'show', '--data', join(directory, 'data')])
  expect(first).toMatchObject({ exitCode: 0, out: expect.stringMatching(/^12D3KooW\w{44}\n$/) })
  const again = await run(['keys', 'show', '--json'], { LAYERMESH_DATA_DIR: join(directory, 'data') })
  expect(JSON.parse(again.out)).toEqual({ peerId: first.out.trim() })
})

it('checks settings, with the line of what is wrong', async () => {
  const right = await run(['config', 'check', '--config', await settings('role: seed\n')])
  expect(right).toEqual({ exitCode: 0, out: 'the settings are right\n', err: '' })
  const path = await settings('role: seed\nzoen: a\n')
  const wrong = await run(['config', 'check', '--config', path])
  expect(wrong).toMatchObject({ exitCode: 1, out: '' })
  expect(wrong.err).toBe(`layermesh: ${path}:2: there is no setting zoen; did you mean zone?\n`)
})

it('checks that the secret can be used', async () => {
  const secret = join(directory, 'secret')
  await writeFile(secret, 'short', { mode: 0o600 })
  const { exitCode, err } = await run(['config', 'check'], { LAYERMESH_MESH_SECRET_FILE: secret })
  expect([exitCode, err]).toEqual([1, expect.stringContaining(`the secret file ${secret}`)])
})

it('shows all settings and where they come from, and reads them back', async () => {
  const path = await settings('mesh:\n  join: [seed:5002]\n')
  const shown = await run(['config', 'show'], { LAYERMESH_CONFIG: path, LAYERMESH_ZONE: 'eu' })
  expect(shown.exitCode).toBe(0)
  expect(shown.out).toMatch(/^zone: "eu" +# LAYERMESH_ZONE$/m)
  expect(shown.out).toMatch(/^mesh:\n(.*\n)* {2}join: \["seed:5002"] +# .*layermesh\.yaml:2$/m)
  expect(shown.out).toMatch(/^role: "node" +# default$/m)
  const again = await run(['config', 'show', '--json', '--config', await settings(shown.out)])
  expect(JSON.parse(again.out)).toMatchObject({ zone: 'eu', mesh: { join: ['seed:5002'] } })
})

it('shows settings within settings where they belong', async () => {
  const text =
    'registry:\n  tls: { certificate: a, key: b }\naccess:\n  clientCertificates: { name: dns }\n  groups: { ops: [a] }\n'
  const path = await settings(text.replace('key: b', 'key: b, clientCa: c'))
  const shown = await run(['config', 'show', '--config', path])
  expect(shown.out).toMatch(/^registry:\n(.*\n)* {2}tls:\n {4}certificate: "a" .*\n {4}key: "b"/m)
  expect(shown.out).toMatch(/^ {4}requireClientCertificate: false .*\n {2}behindTlsProxy: false/m)
  const again = await run(['config', 'show', '--json', '--config', await settings(shown.out)])
  expect(JSON.parse(again.out)).toMatchObject({
    registry: { tls: { certificate: 'a', key: 'b', clientCa: 'c' } },
    access: { clientCertificates: { name: 'dns' }, groups: { ops: ['a'] } }
  })
})

it('checks that the files of access control can be used', async () => {
  const users = join(directory, 'users')
  await writeFile(users, 'alice:hunter2\n')
  const wrong = await run(['config', 'check', '--config', await settings(`access: { htpasswd: ${users} }`)])
  expect([wrong.exitCode, wrong.err]).toEqual([1, expect.stringContaining(`${users}:1: the hash is not bcrypt`)])
  const oidc = '[{ issuer: "https://id.example", audience: a, caFile: /nowhere/ca.crt }]'
  const missing = await run(['config', 'check', '--config', await settings(`access: { oidc: ${oidc} }`)])
  expect([missing.exitCode, missing.err]).toEqual([1, expect.stringContaining('/nowhere/ca.crt')])
})

it('prints the schema of the settings', async () => {
  const { out } = await run(['config', 'schema'])
  expect(JSON.parse(out)).toMatchObject({ properties: { mesh: { properties: { join: { type: 'array' } } } } })
})

it('checks the files that webhooks name, and shows nothing of what is in them', async () => {
  const secretFile = join(directory, 'hook')
  const webhook = `{ name: ci, url: "https://ci.example", secretFile: ${secretFile} }`
  const path = await settings(`role: seed\nwebhooks: [${webhook}]`)
  expect(await run(['config', 'check', '--config', path])).toMatchObject({
    exitCode: 1,
    err: `layermesh: the secret file ${secretFile} can not be read (ENOENT)\n`
  })
  await writeFile(secretFile, 'hunter2', { mode: 0o600 })
  const short = await run(['config', 'check', '--config', path])
  expect(short).toMatchObject({ exitCode: 1, err: expect.stringContaining('has 7 bytes in secret 1') })
  expect(short.err).not.toContain('hunter2')
  await writeFile(secretFile, 'a secret that is long enough to be one')
  expect(await run(['config', 'check', '--config', path])).toMatchObject({ exitCode: 0, err: '' })
})
