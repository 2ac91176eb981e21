import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadOrCreateAdminToken } from './admin-token.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-admin-token-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const path = () => join(directory, 'admin.token')

it('makes a token once, for the eyes of its owner', async () => {
  const token = await loadOrCreateAdminToken(directory)
  expect(token).toMatch(/^[\w-]{43}$/)
  expect(await loadOrCreateAdminToken(directory)).toBe(token)
  expect((await readFile(path(), 'utf8')).trim()).toBe(token)
  expect((await stat(path())).mode & 0o777).toBe(0o600)
  expect(await readdir(directory)).toEqual(['admin.token'])
})

it('refuses a file that others can read, and one that holds no token', async () => {
  await loadOrCreateAdminToken(directory)
  await chmod(path(), 0o644)
  await expect(loadOrCreateAdminToken(directory)).rejects.toMatchObject({ code: 'ADMIN_TOKEN_EXPOSED' })
  for (const text of ['', 'short', `${'a'.repeat(43)}b`]) {
    await rm(path())
    await writeFile(path(), text, { mode: 0o600 })
    await expect(loadOrCreateAdminToken(directory), text).rejects.toMatchObject({ code: 'ADMIN_TOKEN_INVALID' })
  }
})
