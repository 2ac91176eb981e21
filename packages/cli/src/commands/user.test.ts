import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'

let directory: string
let file: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-user-'))
  file = join(directory, 'users')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function user(args: readonly string[], ...secrets: string[]) {
  const context = fakeContext({}, secrets)
  const exitCode = await runCommandLine(['user', ...args, '--htpasswd', file], context)
  return { exitCode, out: context.out.text, err: context.err.text }
}

it('adds, lists, changes and removes users', async () => {
  expect(await user(['add', 'alice'], 'secret')).toEqual({ exitCode: 0, out: 'added alice\n', err: '' })
  expect(await readFile(file, 'utf8')).toMatch(/^alice:\$2b\$12\$.{53}\n$/)
  expect((await user(['add', 'bob'], 'typed', 'typed')).exitCode).toBe(0)
  expect((await user(['list'])).out).toBe('alice\nbob\n')
  expect((await user(['add', 'alice'], 'another')).out).toBe('changed the password of alice\n')
  expect((await user(['remove', 'alice'])).out).toBe('removed alice\n')
  expect((await user(['list'])).out).toBe('bob\n')
})

it('changes nothing when the two passwords that were typed differ', async () => {
  const { exitCode, err } = await user(['add', 'alice'], 'one', 'another')
  expect([exitCode, err]).toEqual([1, 'layermesh: these are two passwords; nothing was changed\n'])
  expect((await user(['list'])).exitCode).toBe(1)
})

it('says what is wrong with a user or a password', async () => {
  expect((await user(['add', 'a:b'], 'secret')).err).toContain('no colon')
  expect((await user(['add', 'alice'], '')).err).toContain('1 to 72 bytes')
  expect((await user(['remove', 'nobody'])).err).toContain('there is no user "nobody"')
})
