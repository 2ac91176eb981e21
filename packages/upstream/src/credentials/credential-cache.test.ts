import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { FakeNode, NOW_MS, SECRET, shown, signal } from '../testing/credential-fixture.ts'
import { CredentialCache, type CredentialCacheOptions, type Issued } from './credential-cache.ts'
import { unavailable } from './credential-error.ts'

const HOUR_MS = 3_600_000
const HOST = 'registry.example'

/** A source whose answers are numbered. */
function open(options: CredentialCacheOptions = {}, answer: Partial<Issued<string>> = { expiresAt: NOW_MS + HOUR_MS }) {
  const node = new FakeNode()
  const cache = new CredentialCache<string>({ ...node, clock: node.clock, log: node.log, name: 'test' }, options)
  const source = { asked: 0, fails: false, answer }
  const issue = async () => {
    source.asked++
    if (source.fails) throw unavailable(HOST, 'the source is down')
    return { value: `value ${source.asked}`, ...source.answer }
  }
  const get = async (key = HOST) => (await cache.get(HOST, [key], issue, signal())).value
  return { node, cache, source, issue, get }
}

/** Lets what goes on in the background come to its end. */
const settle = () => sleep(0)

describe('what a source gave', () => {
  it('is asked for once by all who wait for it, and kept', async () => {
    const { source, get } = open()
    expect(await Promise.all(Array.from({ length: 20 }, () => get()))).toEqual(Array(20).fill('value 1'))
    expect(await get()).toBe('value 1')
    expect(source.asked).toBe(1)
  })

  it('is asked for anew before it expires, while it goes on being given', async () => {
    const { node, source, get } = open()
    await get()
    node.nowMs += 0.9 * HOUR_MS - 1
    await get()
    expect(source.asked).toBe(1)
    node.nowMs += 1
    source.answer = { expiresAt: node.nowMs + HOUR_MS }
    expect(await get()).toBe('value 1')
    await settle()
    expect([await get(), source.asked]).toEqual(['value 2', 2])
  })

  it('holds until it expires when the source fails, which is left alone longer each time', async () => {
    const { node, source, get } = open({ backOffMs: 1_000, maxBackOffMs: 3_000 })
    await get()
    source.fails = true
    node.nowMs += 0.95 * HOUR_MS
    for (const [afterMs, asked] of [
      [0, 2],
      [999, 2],
      [1, 3],
      [1_999, 3],
      [1, 4],
      [2_999, 4],
      [1, 5]
    ] as const) {
      node.nowMs += afterMs
      expect(await get()).toBe('value 1')
      await settle()
      expect(source.asked, `${afterMs} ms later`).toBe(asked)
    }
    node.nowMs = NOW_MS + HOUR_MS
    await expect(get()).rejects.toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', message: 'the source is down' })
    await expect(get()).rejects.toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
    expect(source.asked).toBe(6)
    source.fails = false
    node.nowMs += 3_000
    expect(await get()).toBe('value 7')
  })

  it('is asked for anew now and then when nobody knows how long it holds', async () => {
    const { node, source, get } = open({ maxAgeMs: 60_000 }, {})
    await get()
    node.nowMs += 60_000
    source.fails = true
    expect(await get()).toBe('value 1')
    await settle()
    expect(source.asked).toBe(2)
    expect(await get()).toBe('value 1')
  })

  it('is asked for anew after it was refused, but not each time', async () => {
    const { node, cache, source, get } = open({ minIntervalMs: 10_000 })
    await get()
    cache.refuse((value) => value === 'value 1')
    expect(await get()).toBe('value 1')
    node.nowMs += 10_000
    cache.refuse((value) => value === 'another')
    expect(await get()).toBe('value 1')
    cache.refuse((value) => value === 'value 1')
    expect([await get(), source.asked]).toEqual(['value 2', 2])
  })

  it('is given for a while when it has expired by our clock, which may be wrong', async () => {
    const { node, source, get } = open({ minIntervalMs: 10_000 }, { expiresAt: NOW_MS - HOUR_MS })
    expect([await get(), await get(), source.asked]).toEqual(['value 1', 'value 1', 1])
    node.nowMs += 10_000
    expect(await get()).toBe('value 2')
  })

  it('is not kept when it is not to be', async () => {
    const { source, get } = open({}, { noStore: true })
    expect([await get(), await get(), source.asked]).toEqual(['value 1', 'value 2', 2])
  })

  it('is a bounded number of things', async () => {
    const { source, get } = open({ maxEntries: 10 })
    for (let key = 0; key < 100; key++) await get(`key ${key}`)
    expect(source.asked).toBe(100)
    await get('key 99')
    await get('key 0')
    expect(source.asked).toBe(101)
  })
})

describe('a source', () => {
  it('that does not answer is given up after its deadline, and its callers before when they want', async () => {
    const { node, cache } = open({ timeoutMs: 50 })
    const never = () => new Promise<Issued<string>>(() => {})
    const impatient = cache.get(HOST, [HOST], never, AbortSignal.abort(new Error('enough')))
    await expect(impatient).rejects.toThrow('enough')
    await expect(cache.get(HOST, [HOST], never, signal())).rejects.toMatchObject({
      code: 'CREDENTIALS_UNAVAILABLE',
      message: `the credentials for ${HOST} from test came not within 50 ms`
    })
    expect(node.lines).toHaveLength(1)
  })

  it('that is slow is waited for only so long, by all who wait together, and goes on', async () => {
    const { node, cache } = open({ patienceMs: 50 })
    const { promise, resolve } = Promise.withResolvers<Issued<string>>()
    const get = () => cache.get(HOST, [HOST], () => promise, signal())
    const tooSlow = { code: 'CREDENTIALS_UNAVAILABLE', message: expect.stringContaining('did not come yet') }
    await expect(get()).rejects.toMatchObject(tooSlow)
    const second = get().catch(() => 'did not wait')
    expect(await Promise.race([second, settle().then(() => 'waits too')])).toBe('did not wait')
    expect(node.lines).toEqual([])
    resolve({ value: 'late' })
    await settle()
    expect((await get()).value).toBe('late')
  })

  it('goes on for others when one who waits leaves', async () => {
    const { cache } = open()
    const { promise, resolve } = Promise.withResolvers<Issued<string>>()
    const leaver = new AbortController()
    const left = cache.get(HOST, [HOST], () => promise, leaver.signal)
    const stayed = cache.get(HOST, [HOST], () => promise, signal())
    leaver.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    resolve({ value: 'there' })
    expect((await stayed).value).toBe('there')
  })

  it('is stopped with the node', async () => {
    const stop = new AbortController()
    const node = new FakeNode()
    const cache = new CredentialCache<string>({ clock: node.clock, log: node.log, stopped: stop.signal, name: 'test' })
    const ended = Promise.withResolvers<void>()
    const got = cache.get(
      HOST,
      [HOST],
      (deadline) => {
        deadline.addEventListener('abort', () => ended.resolve())
        return new Promise(() => {})
      },
      signal()
    )
    stop.abort()
    await expect(got).rejects.toThrow()
    await ended.promise
    expect(node.lines).toEqual([])
  })

  it('shows nothing of an unexpected failure, which may quote a secret', async () => {
    const { node, cache } = open()
    const issue = async () => JSON.parse(`{"password": ${SECRET}}`)
    const error = await cache.get(HOST, [HOST], issue, signal()).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
    expect(shown(error) + node.lines.join()).not.toContain(SECRET.slice(0, 5))
  })
})
