import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { newClusterSecret, readClusterSecrets } from './secret.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-secret-'))
})
afterEach(() => rm(directory, { recursive: true }))

async function secretFile(text: string, mode = 0o600): Promise<string> {
  const path = join(directory, 'secret')
  await writeFile(path, text)
  await chmod(path, mode)
  return path
}

it('reads back a fresh secret, with or without a line end', async () => {
  const secret = newClusterSecret()
  const bytes = new Uint8Array(Buffer.from(secret, 'base64url'))
  expect(bytes).toHaveLength(32)
  expect(await readClusterSecrets(await secretFile(secret))).toEqual([bytes])
  expect(await readClusterSecrets(await secretFile(`${secret}\n`))).toEqual([bytes])
})

it('makes another secret each time', () => {
  expect(newClusterSecret()).not.toBe(newClusterSecret())
})

it('lets the group read it, as Kubernetes arranges it, but nobody else', async () => {
  await expect(readClusterSecrets(await secretFile(newClusterSecret(), 0o440))).resolves.toHaveLength(1)
  const exposed = readClusterSecrets(await secretFile(newClusterSecret(), 0o644))
  await expect(exposed).rejects.toMatchObject({ code: 'SECRET_UNUSABLE', message: expect.stringContaining('chmod') })
})

it('refuses secrets that are short, chosen by hand, of other letters, or not there', async () => {
  const long = 'A'.repeat(64)
  for (const text of ['', 'correct horse battery staple', newClusterSecret().slice(0, 40), long, 'x'.repeat(5_000)]) {
    await expect(readClusterSecrets(await secretFile(text)), text.slice(0, 40)).rejects.toMatchObject({
      code: 'SECRET_UNUSABLE'
    })
  }
  await expect(readClusterSecrets(join(directory, 'none'))).rejects.toMatchObject({
    code: 'SECRET_UNUSABLE',
    message: expect.stringContaining('ENOENT')
  })
})

it('reads several, one a line, and refuses too many, one twice, and lines between', async () => {
  const [first, second, third, fourth, fifth] = Array.from({ length: 5 }, newClusterSecret)
  const bytes = [first, second].map((secret = '') => new Uint8Array(Buffer.from(secret, 'base64url')))
  expect(await readClusterSecrets(await secretFile(`${first}\n${second}\r\n`))).toEqual(bytes)
  const tooMany = [first, second, third, fourth, fifth].join('\n')
  for (const text of [tooMany, `${first}\n${first}`, `${first}\n\n${second}`, `${first}\n# old`]) {
    await expect(readClusterSecrets(await secretFile(text))).rejects.toMatchObject({ code: 'SECRET_UNUSABLE' })
  }
})

it('never tells the secret in a message', async () => {
  const text = `${newClusterSecret().slice(0, 30)}`
  const error = await readClusterSecrets(await secretFile(text)).catch((reason: unknown) => reason)
  expect(String(error)).not.toContain(text)
})
