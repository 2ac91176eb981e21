import type { SeedSet } from '@layermesh/node'
import { expect, it } from 'vitest'
import { nextSeedSet, readTime, type SeedSetChanges } from './seed-set-changes.ts'

const NOW = Date.parse('2027-01-01T00:00:00Z')
const DAY = 24 * 3_600_000
const times = { issuedAt: NOW, expiresAt: NOW + 365 * DAY }
const [a, b, c] = ['a', 'b', 'c'].map((letter) => `12D3KooW${letter.repeat(44)}`) as [string, string, string]
const none: SeedSetChanges = { seeds: [], retired: [], revoked: [], dropped: [] }
const first: SeedSet = nextSeedSet(undefined, { ...none, seeds: [a, `${b}=team/**,docker.io/library/*`] }, times)

it('begins a set with the seeds that are named', () => {
  expect(first).toEqual({
    sequence: 1,
    ...times,
    seeds: [
      { peerId: a, repositories: ['**'] },
      { peerId: b, repositories: ['team/**', 'docker.io/library/*'] }
    ],
    revoked: []
  })
})

it('changes what it is told to change, and nothing else', () => {
  const second = nextSeedSet(first, { ...none, seeds: [c], retired: [`${a}=30d`] }, times)
  expect(second.sequence).toBe(2)
  expect(second.seeds).toEqual([
    { peerId: a, repositories: ['**'], notAfter: NOW + 30 * DAY },
    first.seeds[1],
    { peerId: c, repositories: ['**'] }
  ])
  const third = nextSeedSet(second, { ...none, revoked: [b], dropped: [a] }, times)
  expect([third.seeds.map(({ peerId }) => peerId), third.revoked]).toEqual([[c], [b]])
  expect(nextSeedSet(third, none, times)).toEqual({ ...third, sequence: 4 })
})

it.each([
  ['is about whom the set does not name', { retired: [`${c}=30d`] }, /it is no seed of the set/],
  ['drops whom it does not name', { dropped: [c] }, /it is no seed of the set/],
  ['leaves no seed', { revoked: [a, b] }, /would name no seed/],
  ['names no time', { retired: [a] }, /expected a date such as/]
])('refuses a change that %s', (_what, changes, message) => {
  expect(() => nextSeedSet(first, { ...none, ...changes }, times)).toThrow(message)
})

it('takes nobody back who was revoked', () => {
  const second = nextSeedSet(first, { ...none, revoked: [b] }, times)
  expect(() => nextSeedSet(second, { ...none, seeds: [b] }, times)).toThrow(/was revoked: give the seed a new key/)
})

it('reads dates and times from now', () => {
  expect(readTime('1y', NOW, '')).toBe(NOW + 365 * DAY)
  expect(readTime('12h', NOW, '')).toBe(NOW + DAY / 2)
  expect(readTime('2027-01-31', NOW, '')).toBe(NOW + 30 * DAY)
  expect(readTime('2027-01-31T01:00:00+01:00', NOW, '')).toBe(NOW + 30 * DAY)
  for (const text of ['', '30', '31.1.2027', '2027-13-01', 'soon']) {
    expect(() => readTime(text, NOW, '--valid')).toThrow(/^--valid: expected a date/)
  }
})
