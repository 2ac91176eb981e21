import type { ApiKey } from '@layermesh/trust'
import fc from 'fast-check'
import { beforeEach, expect, it } from 'vitest'
import { FakeClock, repository } from '../testing/fakes.ts'
import { ApiKeys, looksLikeApiKey, type NewApiKey, newApiKey } from './api-key.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED' })

let clock: FakeClock
let made: NewApiKey
let known: Map<string, ApiKey>
let keys: ApiKeys

beforeEach(() => {
  clock = new FakeClock()
  made = newApiKey()
  known = new Map([[made.id, keyOf(made)]])
  keys = new ApiKeys({ directory: { find: (id) => known.get(id) }, clock: clock.now })
})

function keyOf({ id, hash }: NewApiKey): ApiKey {
  return {
    id,
    hash,
    name: 'builds',
    user: 'ci',
    scopes: [
      { repositories: 'team/**', actions: ['pull', 'create'] },
      { repositories: 'team/app', actions: ['update'] }
    ],
    createdAt: clock.nowMs,
    expiresAt: clock.nowMs + 1_000
  }
}

it('has the form that scanners for secrets can look for, and is never the same twice', () => {
  expect(made.text).toMatch(/^lmk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}$/)
  expect(looksLikeApiKey(made.text)).toBe(true)
  expect(newApiKey().text).not.toBe(made.text)
})

it('stands for its user, within its scopes', () => {
  const identity = keys.identify(made.text)
  expect(identity).toMatchObject({
    name: 'ci',
    groups: [],
    source: { kind: 'apiKey', id: made.id },
    expiresAtMs: clock.nowMs + 1_000
  })
  const { limit } = identity
  expect(limit?.allows('pull', repository('team/a/b'))).toBe(true)
  expect(limit?.allows('update', repository('team/app'))).toBe(true)
  expect(limit?.allows('update', repository('team/other'))).toBe(false)
  expect(limit?.allows('pull', repository('other/app'))).toBe(false)
  expect(limit?.allows('pull', repository('docker.io/library/nginx'))).toBe(false)
})

it('is refused when it is another, was revoked or has expired, in the same words', () => {
  const [, id, secret = ''] = made.text.split(/^lmk_([0-9a-f]{16})_/).map((part) => part)
  const wrong = [
    newApiKey().text,
    `lmk_${id}_${newApiKey().text.slice(-43)}`,
    `lmk_${'0'.repeat(16)}_${secret}`,
    `${made.text}A`,
    made.text.slice(0, -1),
    made.text.toUpperCase(),
    'lmk_',
    ''
  ]
  for (const text of wrong) expect(() => keys.identify(text), text).toThrow(UNAUTHORIZED)
  const messages = new Set<string>()
  for (const act of [() => clock.advance(1_000), () => known.clear()]) {
    act()
    try {
      keys.identify(made.text)
    } catch (error) {
      messages.add((error as Error).message)
    }
  }
  expect(messages.size).toBe(1)
})

it('is looked up again for what was given for it', () => {
  expect(keys.revive(made.id)?.name).toBe('ci')
  clock.advance(1_000)
  expect(keys.revive(made.id)).toBeUndefined()
  clock.advance(-1_000)
  known.delete(made.id)
  expect(keys.revive(made.id)).toBeUndefined()
})

it('has the scopes that the directory gives it now', () => {
  keys.identify(made.text)
  known.set(made.id, { ...keyOf(made), scopes: [{ repositories: 'other', actions: ['pull'] }] })
  const { limit } = keys.identify(made.text)
  expect(limit?.allows('pull', repository('team/app'))).toBe(false)
  expect(limit?.allows('pull', repository('other'))).toBe(true)
})

it('is refused whatever is written instead', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `lmk_${text}`)
      ),
      (text) => {
        expect(() => keys.identify(text)).toThrow(UNAUTHORIZED)
      }
    )
  )
})
