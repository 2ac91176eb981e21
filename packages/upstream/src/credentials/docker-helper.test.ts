import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { FakeNode, SECRET, shown, signal, temporaryDirectory, writeProgram } from '../testing/credential-fixture.ts'
import { CachedSource } from './cached-source.ts'
import { DockerHelper } from './docker-helper.ts'

/* The protocol: https://github.com/docker/docker-credential-helpers#development */

async function open(script: string, timeoutMs?: number) {
  const bin = await temporaryDirectory()
  await writeProgram(bin, 'docker-credential-fake', script.replaceAll('DIR', bin))
  const node = new FakeNode({ env: { PATH: `${bin}:/usr/bin:/bin`, WHO: 'env' } })
  const source = new CachedSource(new DockerHelper('fake', node), node, timeoutMs === undefined ? {} : { timeoutMs })
  const get = async (host = 'registry.example') => (await source.get(host, 'a', signal()))?.credential
  return { bin, node, source, get }
}

async function failure(script: string, timeoutMs?: number) {
  const { node, get } = await open(script, timeoutMs)
  const error = await get().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: 'registry.example' })
  const text = shown(error) + node.lines.join()
  expect(text).not.toContain(SECRET)
  return (error as Error).message
}

it('is asked by get, with the registry on its input', async () => {
  const { get } = await open(`printf '{"ServerURL":"x","Username":"%s %s %s","Secret":"s"}' "$*" "$(cat)" "$WHO"`)
  expect(await get()).toEqual({ kind: 'password', username: 'get registry.example env', password: 's' })
  expect(await get('docker.io')).toMatchObject({ username: 'get https://index.docker.io/v1/ env' })
})

it('gives an identity token under the user name <token>', async () => {
  const { get } = await open(`echo '{"Username":"<token>","Secret":"refresh"}'`)
  expect(await get()).toEqual({ kind: 'identityToken', token: 'refresh' })
})

it('has none when it says so, and is not asked again at once', async () => {
  const { bin, get } = await open('echo x >> DIR/asked; echo "credentials not found in native keychain"; exit 1')
  expect([await get(), await get()]).toEqual([undefined, undefined])
  expect(await readFile(join(bin, 'asked'), 'utf8')).toBe('x\n')
})

it('says on its output what went wrong', async () => {
  expect(await failure(`echo "no such account"; echo "${SECRET}" >&2; exit 1`)).toBe(
    'docker-credential-fake failed for registry.example: no such account'
  )
})

it('is not quoted when it fails with credentials on its output', async () => {
  const message = await failure(`echo '{"Username":"u","Secret":"${SECRET}"}'; exit 1`)
  expect(message).toBe('docker-credential-fake failed for registry.example')
})

it('is not quoted when it gives something else', async () => {
  expect(await failure(`echo '{"Username":"u","Secret":"${SECRET}"'`)).toContain('something else than credentials')
  expect(await failure(`echo '{"Username":"${SECRET}"}'`)).toContain('something else than credentials')
})

it('can not fill the memory', async () => {
  expect(await failure('cat /dev/zero')).toContain('wrote more than 1048576 bytes')
})

/** The letter of proc(5) for the state of a process; undefined when there is none. */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return stat?.slice(stat.lastIndexOf(')') + 2)[0]
}

it('is ended after its deadline, with whatever it started', async () => {
  const { bin, get } = await open('sleep 3600 & echo $! > DIR/pid; sleep 3600', 1_000)
  await expect(get()).rejects.toThrow('within 1000 ms')
  // A machine that is too slow for that has started nothing.
  const pid = await readFile(join(bin, 'pid'), 'utf8').catch(() => undefined)
  if (pid) await expect.poll(() => stateOf(Number(pid))).toBeOneOf([undefined, 'Z'])
})

it('need not read its input', async () => {
  const { get } = await open(`exec 0<&-; echo '{"Username":"u","Secret":"s"}'`)
  expect(await get()).toMatchObject({ username: 'u' })
})

it('that is not there is named', async () => {
  const node = new FakeNode({ env: { PATH: '/nowhere' } })
  await expect(new DockerHelper('fake', node).issue('a.example', signal())).rejects.toThrow(
    'docker-credential-fake could not be run (ENOENT)'
  )
})

it.each(['', '../evil', 'a/b', 'a b', '-x', 'a;b', '$(x)', 'a\0'])('may not be named %j', (name) => {
  expect(() => new DockerHelper(name, new FakeNode())).toThrow(TypeError)
})
