import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { newClusterSecret, readClusterSecret } from './secret.ts'

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
  expect(await readClusterSecret(await secretFile(secret))).toEqual(bytes)
  expect(await readClusterSecret(await secretFile(`${secret}\n`))).toEqual(bytes)
})

it('makes another secret each time', () => {
  expect(newClusterSecret()).not.toBe(newClusterSecret())
})

it('lets the group read it, as Kubernetes arranges it, but nobody else', async () => {
  await expect(readClusterSecret(await secretFile(newClusterSecret(), 0o440))).resolves.toHaveLength(32)
  const exposed = readClusterSecret(await secretFile(newClusterSecret(), 0o644))
  await expect(exposed).rejects.toMatchObject({ code: 'SECRET_UNUSABLE', message: expect.stringContaining('chmod') })
})

it('refuses secrets that are short, chosen by hand, of other letters, or not there', async () => {
  const long = 'A'.repeat(64)
  for (const text of ['', 'correct horse battery staple', newClusterSecret().slice(0, 40), long, 'x'.repeat(5_000)]) {
    await expect(readClusterSecret(await secretFile(text)), text.slice(0, 40)).rejects.toMatchObject({
      code: 'SECRET_UNUSABLE'
    })
  }
  await expect(readClusterSecret(join(directory, 'none'))).rejects.toMatchObject({
    code: 'SECRET_UNUSABLE',
    message: expect.stringContaining('ENOENT')
  })
})

it('never tells the secret in a message', async () => {
  const text = `${newClusterSecret().slice(0, 30)}`
  const error = await readClusterSecret(await secretFile(text)).catch((reason: unknown) => reason)
  expect(String(error)).not.toContain(text)
})
