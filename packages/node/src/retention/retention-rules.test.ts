import { mirroredRepository, ownRepository, parseTag } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type RetentionRule, RetentionRules } from './retention-rules.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000
const repository = ownRepository('team/app')

/** Tags by the number of days since they were changed. */
const dated = (ages: Record<string, number>) =>
  Object.entries(ages).map(([tag, days]) => ({ tag: parseTag(tag), changedAt: NOW - days * DAY_MS }))

function expired(rules: Partial<RetentionRule>[], ages: Record<string, number>): string[] {
  const all = new RetentionRules(rules.map((rule) => ({ repositories: '**', tags: '*', ...rule })))
  return all.expired(repository, dated(ages), NOW).map(({ tag }) => tag)
}

const AGES = { latest: 0, v1: 30, v2: 20, v3: 10, 'pr-1': 9, 'pr-2': 1 }

describe('rules', () => {
  it('keep the tags that were changed last', () => {
    expect(expired([{ tags: 'v*', keepLast: 2 }], AGES)).toEqual(['v1'])
  })

  it('keep what is young', () => {
    expect(expired([{ tags: 'pr-*', keepYoungerThanMs: 7 * DAY_MS }], AGES)).toEqual(['pr-1'])
    expect(expired([{ tags: 'pr-*', keepYoungerThanMs: 9 * DAY_MS }], AGES)).toEqual(['pr-1'])
    expect(expired([{ tags: 'pr-*', keepYoungerThanMs: 9 * DAY_MS + 1 }], AGES)).toEqual([])
  })

  it('keep by either of their conditions', () => {
    expect(expired([{ tags: 'v*', keepLast: 1, keepYoungerThanMs: 21 * DAY_MS }], AGES)).toEqual(['v1'])
  })

  it('keep what any of them keeps', () => {
    expect(
      expired([{ keepLast: 1 }, { tags: 'v*', keepLast: 2 }, { tags: 'pr-*', keepYoungerThanMs: 100 * DAY_MS }], AGES)
    ).toEqual(['v1'])
  })

  it('leave tags and repositories alone that none fits', () => {
    expect(expired([{ tags: 'nightly-*', keepLast: 1 }], AGES)).toEqual([])
    expect(expired([{ repositories: 'other/*', keepLast: 1 }], AGES)).toEqual([])
    expect(expired([], AGES)).toEqual([])
  })

  it('say nothing of tags when they are about untagged manifests only', () => {
    expect(expired([{ untaggedAfterMs: 1 }], AGES)).toEqual([])
    expect(expired([{ untaggedAfterMs: 1 }, { tags: 'v*', keepLast: 2 }], AGES)).toEqual(['v1'])
  })

  it('let untagged manifests stay as long as the longest of them says', () => {
    const rules = new RetentionRules([
      { repositories: '**', tags: '*', untaggedAfterMs: 1 },
      { repositories: 'team/*', tags: '*', untaggedAfterMs: 2 },
      { repositories: 'other/*', tags: '*', untaggedAfterMs: 3 }
    ])
    expect(rules.untaggedAfterMs(repository)).toBe(2)
    expect(rules.untaggedAfterMs(ownRepository('else/app'))).toBe(1)
    expect(new RetentionRules([]).untaggedAfterMs(repository)).toBeUndefined()
  })

  it('are never about what is mirrored', () => {
    const rules = new RetentionRules([
      { repositories: '**', tags: '*', keepLast: 1 },
      { repositories: 'docker.io/**', tags: '*', keepLast: 1 }
    ])
    expect(rules.concern(repository)).toBe(true)
    expect(rules.concern(mirroredRepository('docker.io', 'library/nginx'))).toBe(false)
  })

  it('remove only what each fitting rule on its own would remove', () => {
    const rule = fc.record(
      {
        tags: fc.constantFrom('*', 'v*', '*1', 'pr-*'),
        keepLast: fc.integer({ min: 1, max: 4 }),
        keepYoungerThanMs: fc.integer({ min: 1, max: 40 * DAY_MS }),
        untaggedAfterMs: fc.constant(1)
      },
      { requiredKeys: ['tags'] }
    )
    const ages = fc.dictionary(
      fc.constantFrom('v1', 'v2', 'v3', 'pr-1', 'pr-2', 'x1', 'y'),
      fc.integer({ min: 0, max: 50 })
    )
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), ages, (rules, given) => {
        const removed = expired(rules, given)
        for (const each of rules.filter(({ keepLast, keepYoungerThanMs }) => keepLast ?? keepYoungerThanMs)) {
          const fits = new RegExp(`^${each.tags.replaceAll('*', '.*')}$`)
          const alone = expired([each], given)
          expect(removed.filter((tag) => fits.test(tag) && !alone.includes(tag))).toEqual([])
        }
      })
    )
  })
})
