import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listUsers, removeUser, setUser } from './htpasswd-edit.ts'
import { costOf, parseHtpasswd } from './htpasswd-file.ts'

const HASH = `$2y$05$${'a'.repeat(53)}`
const COST = 5

let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-users-'))
  path = join(directory, 'users')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const read = () => readFile(path, 'utf8')
const hashOf = async (user: string) => parseHtpasswd(await read(), path).get(user) ?? ''

describe('a user', () => {
  it('is added to a file that is made for it, which others can not read', async () => {
    expect(await setUser(path, 'alice', 'pässwörd')).toBe(true)
    expect(await bcrypt.compare('pässwörd', await hashOf('alice'))).toBe(true)
    expect(costOf(await hashOf('alice'))).toBe(12)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(directory)).toEqual(['users'])
  })

  it('gets another password, and the other lines and the mode of the file stay', async () => {
    await writeFile(path, `# team\r\nbob:${HASH}\r\n\r\nalice:${HASH}`)
    await chmod(path, 0o640)
    expect(await setUser(path, 'alice', 'new', COST)).toBe(false)
    expect(await read()).toBe(`# team\nbob:${HASH}\n\nalice:${await hashOf('alice')}\n`)
    expect(await bcrypt.compare('new', await hashOf('alice'))).toBe(true)
    expect((await stat(path)).mode & 0o777).toBe(0o640)
  })

  it('stays readable for the service that the file belongs to, whoever changes it', async () => {
    await setUser(path, 'alice', 'old', COST)
    // Only root can give a file away; others see their own ids here.
    const [uid, gid] = process.getuid?.() === 0 ? [12_345, 12_346] : [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
    await chown(path, uid, gid)
    await removeUser(path, 'alice')
    const after = await stat(path)
    expect([after.uid, after.gid]).toEqual([uid, gid])
  })

  it('is removed, and nobody whose name only begins alike', async () => {
    await writeFile(path, `ali:${HASH}\nalice:${HASH}\n`)
    await removeUser(path, 'ali')
    expect(await listUsers(path)).toEqual(['alice'])
    await expect(removeUser(path, 'ali')).rejects.toMatchObject({ code: 'USER_INVALID' })
  })

  it.each(['', 'a:b', ' a', 'a ', '#a', 'a\nb', 'a'.repeat(256)])('can not be called %j', async (name) => {
    await expect(setUser(path, name, 'x', COST)).rejects.toMatchObject({ code: 'USER_INVALID' })
  })

  it.each(['', 'a\nb', 'ä'.repeat(37)])('can not have the password %j', async (password) => {
    await expect(setUser(path, 'alice', password, COST)).rejects.toMatchObject({ code: 'USER_INVALID' })
    expect(await readdir(directory)).toEqual([])
  })
})

describe('a file', () => {
  it('that is no htpasswd file stays as it is', async () => {
    await writeFile(path, 'alice:hunter2\n')
    for (const change of [setUser(path, 'bob', 'x', COST), removeUser(path, 'nobody')]) {
      await expect(change).rejects.toThrow()
    }
    expect(await read()).toBe('alice:hunter2\n')
    expect(await readdir(directory)).toEqual(['users'])
  })

  it('is changed by one at a time, and nothing is lost', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `user${i}`)
    const results = await Promise.allSettled(names.map((name) => setUser(path, name, 'x', COST)))
    const done = names.filter((_, index) => results[index]?.status === 'fulfilled')
    expect((await listUsers(path)).toSorted()).toEqual(done)
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'HTPASSWD_UNWRITABLE' })
    }
  })

  it('that can not be written is told of', async () => {
    const missing = join(directory, 'no', 'users')
    await expect(setUser(missing, 'alice', 'x', COST)).rejects.toMatchObject({ code: 'HTPASSWD_UNWRITABLE' })
    await expect(listUsers(missing)).rejects.toMatchObject({ code: 'HTPASSWD_UNREADABLE' })
  })
})
