import { spawn } from 'node:child_process'
import { on, once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'

/** The command as it is installed; `tsc -b` builds what it runs. */
const LAYERMESH = join(import.meta.dirname, '../bin/layermesh')
const EPHEMERAL = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--mesh', '/ip4/127.0.0.1/tcp/0']

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-main-'))
})
afterEach(() => rm(directory, { recursive: true }))

function start(args: readonly string[]) {
  const child = spawn(LAYERMESH, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return { child, ended: ended.then(([[exitCode, signal], out, err]) => ({ exitCode, signal, out, err })) }
}

it('ends with the exit codes that scripts count on', async () => {
  expect(await start(['secret', 'new']).ended).toMatchObject({ exitCode: 0, err: '' })
  expect(await start(['config', 'check', '--config', 'none.yaml']).ended).toMatchObject({
    exitCode: 1,
    err: 'layermesh: none.yaml: there is no such file\n'
  })
  expect(await start(['--no-such-flag']).ended).toMatchObject({ exitCode: 2, out: '' })
})

it('runs a seed: says on stdout how to use it, logs to stderr, ends with 0 on SIGTERM', async () => {
  const { child, ended } = start(['node', '--role', 'seed', '--data', 'data', ...EPHEMERAL])
  const [greeting] = await once(child.stdout, 'data')
  const info = JSON.parse(await readFile(join(directory, 'data', 'node.json'), 'utf8'))
  expect(String(greeting)).toContain(`docker push localhost:${new URL(info.registry).port}/`)
  expect(info.pid).toBe(child.pid)
  child.kill('SIGTERM')
  const { exitCode, signal, err } = await ended
  expect([exitCode, signal]).toEqual([0, null])
  for (const line of err.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level')
})

it('takes other rules of access on SIGHUP, and keeps those it has when the file is wrong', async () => {
  const file = join(directory, 'layermesh.yaml')
  const statusOf = async (url: string) => (await fetch(`${url}/v2/team/app/tags/list`)).status
  const write = (actions: string) =>
    writeFile(file, `access: { rules: [{ repositories: "**", grant: [{ anyone: true, actions: ${actions} }] }] }`)
  await write('[pull]')
  const { child, ended } = start(['node', '--role', 'seed', '--data', 'data', '--config', file, ...EPHEMERAL])
  const lines = createInterface({ input: child.stderr })
  const logged = async (message: string) => {
    for await (const [line] of on(lines, 'line')) if (String(line).includes(message)) return
  }
  await logged('"msg":"ready"')
  const { registry } = JSON.parse(await readFile(join(directory, 'data', 'node.json'), 'utf8'))
  expect(await statusOf(registry)).toBe(404)
  await write('[push]')
  child.kill('SIGHUP')
  await logged('the settings can not be taken')
  expect(await statusOf(registry)).toBe(404)
  await write('[delete]')
  child.kill('SIGHUP')
  await logged('took other rules of access')
  expect(await statusOf(registry)).toBe(401)
  child.kill('SIGTERM')
  expect((await ended).exitCode).toBe(0)
})
