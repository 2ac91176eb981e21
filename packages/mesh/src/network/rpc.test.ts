import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { encodeNoticeRequest } from '../notices/messages.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MeshFixture, until } from '../testing/mesh-fixture.ts'
import { encodeFields, Fields } from '../wire/fields.ts'
import { encodeIntroduction } from './peer-directory.ts'
import { call } from './rpc.ts'

const signal = new AbortController().signal
const AT_ONCE = 16

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await fixture[Symbol.asyncDispose]()
})

it.each([
  ['hello', LIMITS.helloBurst, encodeIntroduction({ role: 'node', zone: 'a', version: '1' })],
  ['notice', LIMITS.noticeBurst, encodeNoticeRequest({ op: 'list' })]
] as const)(
  'a peer that floods %s gets its burst answered and is shut out when it goes on',
  async (name, burst, message) => {
    const victim = await fixture.node()
    const hostile = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
    await hostile.dial(victim)
    // However slow this machine is, no more is allowed meanwhile.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now())
    let answered = 0
    const flood = async () => {
      while (victim.observer.bans.length === 0) {
        const options = { protocol: PROTOCOL[name], deadlineMs: 60_000, signal }
        await call(hostile.host, victim.mesh.peerId, message, options).then(
          () => answered++,
          () => {}
        )
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, flood))
    await until(() => victim.observer.bans.length > 0)
    expect(victim.observer.bans).toMatchObject([{ peerId: hostile.peerId, reason: 'flood' }])
    expect(answered).toBeGreaterThanOrEqual(burst / 2)
    await until(() => victim.mesh.connected().length === 0)
  }
)

it.each([
  ['hello', Buffer.from('no CBOR')],
  ['tag', Buffer.concat([Buffer.from('9a000f4240', 'hex'), Buffer.alloc(100_000, 0x80)])],
  ['notice', Buffer.from('a0', 'hex')]
] as const)('a peer that sends %s what can not be read is shut out', async (name, message) => {
  const victim = await fixture.node()
  const hostile = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
  await hostile.dial(victim)
  const asked = call(hostile.host, victim.mesh.peerId, message, {
    protocol: PROTOCOL[name],
    deadlineMs: 60_000,
    signal
  })
  await expect(asked).rejects.toThrow()
  await until(() => victim.observer.bans.length > 0)
  expect(victim.observer.bans).toMatchObject([{ peerId: hostile.peerId, reason: 'malformed' }])
  await until(() => victim.mesh.connected().length === 0)
})

it('a peer that asks for an operation of a version to come is told, and not shut out', async () => {
  const victim = await fixture.node()
  const hostile = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
  await hostile.dial(victim)
  const ask = (message: Record<string, unknown>) =>
    call(hostile.host, victim.mesh.peerId, encodeFields(message), {
      protocol: PROTOCOL.tag,
      deadlineMs: 60_000,
      signal
    })
  const answer = new Fields(await ask({ op: 'sing' }))
  expect(answer.text('error')).toBe('UNSUPPORTED')
  await ask({ op: 'list-repositories', limit: 1 })
  expect(victim.observer.bans).toEqual([])
})
