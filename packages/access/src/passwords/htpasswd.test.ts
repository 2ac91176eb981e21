import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { FakeLog } from '../testing/fakes.ts'
import { fingerprintOf, Htpasswd } from './htpasswd.ts'

const HASH = `$2y$05$${'a'.repeat(53)}`
const ANOTHER = `$2y$05$${'b'.repeat(53)}`

let directory: string
let path: string
let log: FakeLog

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-htpasswd-'))
  path = join(directory, 'users')
  log = new FakeLog()
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const open = () => Htpasswd.open(path, { log })
const names = async (users: Htpasswd) => [...(await users.table()).keys()]

it('reads a file anew as soon as it was written or another took its place', async () => {
  await writeFile(path, `alice:${HASH}\n`)
  const users = await open()
  expect(await names(users)).toEqual(['alice'])
  await writeFile(path, `bob:${HASH}\n`)
  expect(await names(users)).toEqual(['bob'])
  await writeFile(`${path}.new`, `carol:${HASH}\n`)
  await rename(`${path}.new`, path)
  expect(await names(users)).toEqual(['carol'])
})

it('reads it once for many that ask at one time, and not again while it stays', async () => {
  await writeFile(path, `alice:${HASH}\n`)
  const users = await open()
  await writeFile(path, `bob:${HASH}\n`)
  await Promise.all(Array.from({ length: 20 }, () => users.table()))
  await users.table()
  expect(log.lines).toEqual(['read the users anew'])
})

it('refuses at the start what is not there, can not be read or is no htpasswd file', async () => {
  await expect(open()).rejects.toMatchObject({ code: 'HTPASSWD_UNREADABLE', message: /layermesh user add/ })
  await mkdir(path)
  await expect(open()).rejects.toMatchObject({ code: 'HTPASSWD_UNREADABLE' })
  await rm(path, { recursive: true })
  await writeFile(path, 'alice:hunter2')
  await expect(open()).rejects.toMatchObject({ code: 'HTPASSWD_INVALID', message: /users:1: / })
  await writeFile(path, Buffer.alloc(5 * 1024 * 1024, '#'))
  await expect(open()).rejects.toMatchObject({ code: 'HTPASSWD_INVALID', message: /more than 4194304 bytes/ })
})

it('keeps the users from before while a new file can not be used, and says so once', async () => {
  await writeFile(path, `alice:${HASH}\n`)
  const users = await open()
  await writeFile(path, 'alice:hunter2')
  expect(await names(users)).toEqual(['alice'])
  expect(await names(users)).toEqual(['alice'])
  await rm(path)
  expect(await names(users)).toEqual(['alice'])
  expect(log.lines).toEqual(Array(2).fill('the users can not be read anew; those from before stay'))
  await writeFile(path, `bob:${HASH}\n`)
  expect(await names(users)).toEqual(['bob'])
})

it('reads a file anew that could not be read for its mode', async () => {
  await writeFile(path, `alice:${HASH}\n`)
  const users = await open()
  await chmod(path, 0o000)
  await users.table()
  await chmod(path, 0o600)
  expect(await names(users)).toEqual(['alice'])
})

it('gives each password of a user another fingerprint, and none to who is no user', async () => {
  await writeFile(path, `alice:${HASH}\nbob:${ANOTHER}\n`)
  const users = await open()
  expect(await users.fingerprint('alice')).toBe(fingerprintOf(HASH))
  expect(await users.fingerprint('bob')).toBe(fingerprintOf(ANOTHER))
  expect(fingerprintOf(HASH)).not.toBe(fingerprintOf(ANOTHER))
  expect(await users.fingerprint('carol')).toBeUndefined()
})
