import { chmod, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { temporaryDirectory } from '../testing/fixture.ts'
import { ReloadedFile } from './reloaded-file.ts'

async function open({ secret = true } = {}) {
  const path = join(await temporaryDirectory(), 'file')
  const complaints: string[] = []
  let parsed = 0
  const file = new ReloadedFile({
    path,
    what: 'the secret file',
    secret,
    parse: (text) => {
      parsed++
      if (text === 'bad') throw new TypeError('holds nothing good')
      return text
    },
    onUnusable: (error) => void complaints.push(error.message)
  })
  return { path, file, complaints, parsed: () => parsed }
}

it('reads a file again when it was replaced, and only then', async () => {
  const { path, file, parsed } = await open()
  await writeFile(path, 'one', { mode: 0o600 })
  expect([await file.read(), await file.read()]).toEqual(['one', 'one'])
  expect(parsed()).toBe(1)
  await writeFile(`${path}.new`, 'two', { mode: 0o600 })
  await rename(`${path}.new`, path)
  expect(await file.read()).toBe('two')
})

it('goes on with what it held when the new one is not usable, and says so once', async () => {
  const { path, file, complaints } = await open()
  await writeFile(path, 'one', { mode: 0o600 })
  await file.read()
  await writeFile(`${path}.new`, 'bad', { mode: 0o600 })
  await rename(`${path}.new`, path)
  expect([await file.read(), await file.read()]).toEqual(['one', 'one'])
  expect(complaints).toEqual([`the secret file ${path} holds nothing good`])
  await rm(path)
  expect(await file.read()).toBe('one')
  expect(complaints[1]).toContain('ENOENT')
})

it('refuses a secret that every user can read, and a file that is not there', async () => {
  const { path, file } = await open()
  await expect(file.read()).rejects.toMatchObject({ code: 'FILE_UNUSABLE' })
  await writeFile(path, 'one')
  await chmod(path, 0o644)
  await expect(file.read()).rejects.toThrow('can be read by every user')
  const open2 = await open({ secret: false })
  await writeFile(open2.path, 'one', { mode: 0o644 })
  expect(await open2.file.read()).toBe('one')
})
