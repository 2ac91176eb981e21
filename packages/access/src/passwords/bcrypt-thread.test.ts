import bcrypt from 'bcryptjs'
import { afterEach, expect, it } from 'vitest'
import { BcryptThread, type BcryptThreadOptions } from './bcrypt-thread.ts'

const HASH = bcrypt.hashSync('pässword', 5)

let thread: BcryptThread
afterEach(() => thread.close())

function start(options?: BcryptThreadOptions): BcryptThread {
  thread = new BcryptThread(options)
  return thread
}

it.each(['2a', '2b', '2y'])('checks a password against a hash of version %s', async (version) => {
  const hash = HASH.replace(/^\$2b/, `$${version}`)
  expect(await start().verify('pässword', hash)).toBe(true)
  expect(await thread.verify('password', hash)).toBe(false)
})

it('knows a hash that another implementation has made (jBCrypt, test vectors)', async () => {
  const hash = '$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe'
  expect(await start().verify('a', hash)).toBe(true)
})

it('leaves the main thread free', async () => {
  const slow = bcrypt.hashSync('x', 10)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  await Promise.all(Array.from({ length: 5 }, () => start().verify('x', slow)))
  clearInterval(timer)
  expect(turns).toBeGreaterThan(10)
})

it('says when it has no room, and has it again', async () => {
  start({ maxWaiting: 2 })
  const checks = [thread.verify('a', HASH), thread.verify('b', HASH)]
  expect(thread.hasRoom).toBe(false)
  await Promise.all(checks)
  expect(thread.hasRoom).toBe(true)
})

it('ends when it has nothing to do, and starts again', async () => {
  start({ idleMs: 1 })
  expect(await thread.verify('pässword', HASH)).toBe(true)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await thread.verify('pässword', HASH)).toBe(true)
})

it('fails what waits when it is closed', async () => {
  const check = start().verify('pässword', HASH)
  const failed = expect(check).rejects.toThrow('passwords are not checked any more')
  await thread.close()
  await failed
})
