import { beforeEach, describe, expect, it } from 'vitest'
import { FakeClock } from '../testing/fakes.ts'
import { fingerprintOf } from './htpasswd.ts'
import { LoginThrottle } from './login-throttle.ts'
import { PasswordChecker } from './password-checker.ts'

const hashOf = (letter: string, cost = '06') => `$2y$${cost}$${letter.repeat(53)}`
const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED', message: 'wrong user name or password' })
const TOO_MANY = expect.objectContaining({ code: 'TOOMANYREQUESTS' })
const ADDRESS = '192.0.2.1'

/** Passwords fit hashes that are made of their first letter. */
class FakeBcrypt {
  readonly asked: string[] = []
  hasRoom = true
  gate: Promise<void> = Promise.resolve()

  async verify(password: string, hash: string): Promise<boolean> {
    this.asked.push(hash)
    await this.gate
    return hash.endsWith((password[0] ?? '-').repeat(53))
  }
}

let clock: FakeClock
let bcrypt: FakeBcrypt
let table: Map<string, string>
let checker: PasswordChecker

beforeEach(() => {
  clock = new FakeClock()
  bcrypt = new FakeBcrypt()
  table = new Map([
    ['alice', hashOf('a')],
    ['bob', hashOf('b')]
  ])
  const throttle = new LoginThrottle({ clock: clock.now })
  checker = new PasswordChecker({ users: { table: async () => table }, bcrypt, throttle, clock: clock.now })
})

const check = (user: string, password: string, address = ADDRESS) => checker.check(user, password, address)

describe('a password', () => {
  it('that is right gives the fingerprint of its hash', async () => {
    expect(await check('alice', 'a')).toBe(fingerprintOf(hashOf('a')))
  })

  it('that is wrong is refused as one of nobody is, after the same work', async () => {
    await expect(check('alice', 'x')).rejects.toEqual(UNAUTHORIZED)
    await expect(check('mallory', 'x')).rejects.toEqual(UNAUTHORIZED)
    expect(bcrypt.asked).toHaveLength(2)
    expect(bcrypt.asked[1]).toMatch(/^\$2b\$06\$[./A-Za-z0-9]{53}$/)
  })

  it('that is right is computed once in five minutes', async () => {
    await check('alice', 'a')
    await check('alice', 'a', '198.51.100.1')
    clock.advance(299_999)
    await check('alice', 'a')
    expect(bcrypt.asked).toHaveLength(1)
    clock.advance(1)
    await check('alice', 'a')
    expect(bcrypt.asked).toHaveLength(2)
  })

  it('of somebody else is not taken for one that was right', async () => {
    await check('alice', 'a')
    await expect(check('bob', 'a')).rejects.toEqual(UNAUTHORIZED)
    await expect(check('alice', 'b')).rejects.toEqual(UNAUTHORIZED)
  })

  it('counts no more at once when the user is gone or has another', async () => {
    await check('alice', 'a')
    table = new Map([['alice', hashOf('z')]])
    await expect(check('alice', 'a')).rejects.toEqual(UNAUTHORIZED)
    table = new Map()
    await expect(check('alice', 'a')).rejects.toEqual(UNAUTHORIZED)
  })

  it('is not right when the user is gone before that was known', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    bcrypt.gate = promise
    const checking = check('alice', 'a')
    await Promise.resolve()
    table = new Map()
    resolve()
    await expect(checking).rejects.toEqual(UNAUTHORIZED)
  })

  it('that several requests bring at one time is computed once', async () => {
    await Promise.all(Array.from({ length: 20 }, () => check('alice', 'a')))
    expect(bcrypt.asked).toHaveLength(1)
  })
})

describe('who fails often', () => {
  it('waits, and nothing is computed', async () => {
    for (let i = 0; i < 6; i++) await expect(check('alice', `x${i}`)).rejects.toEqual(UNAUTHORIZED)
    for (let i = 0; i < 100; i++) await expect(check('alice', `y${i}`)).rejects.toEqual(TOO_MANY)
    expect(bcrypt.asked).toHaveLength(6)
    clock.advance(1_000)
    await expect(check('alice', 'z')).rejects.toEqual(UNAUTHORIZED)
    expect(bcrypt.asked).toHaveLength(7)
  })

  it('has many at one time computed no more than one after the other', async () => {
    const results = await Promise.allSettled(Array.from({ length: 1_000 }, (_, i) => check('alice', `x${i}`)))
    expect(bcrypt.asked.length).toBeLessThanOrEqual(5)
    expect(results.every(({ status }) => status === 'rejected')).toBe(true)
  })

  it('does not keep out who was right a short time ago, nor who is right from elsewhere', async () => {
    await check('alice', 'a')
    for (let i = 0; i < 20; i++) await expect(check('alice', `x${i}`)).rejects.toThrow()
    await check('alice', 'a')
    for (let i = 0; i < 200; i++) await expect(check('bob', `x${i}`, `10.0.0.${i}`)).rejects.toEqual(UNAUTHORIZED)
    await check('bob', 'b', '198.51.100.1')
  })

  it('is told how long to wait', async () => {
    for (let i = 0; i < 7; i++) {
      await check('alice', `x${i}`).catch(() => {})
      clock.advance(1_000)
    }
    await expect(check('alice', 'y')).rejects.toMatchObject({ detail: { retryAfterSeconds: 1 }, retryAfterMs: 1_000 })
  })
})

it('turns away who comes when too many wait, without counting it', async () => {
  bcrypt.hasRoom = false
  for (let i = 0; i < 20; i++) await expect(check('alice', 'a')).rejects.toEqual(TOO_MANY)
  bcrypt.hasRoom = true
  await check('alice', 'a')
})

it('succeeds any number of times for different users of one address', async () => {
  table = new Map(Array.from({ length: 100 }, (_, i) => [`user${i}`, hashOf('a')]))
  for (const user of table.keys()) await check(user, 'a')
})
