import { registryHostOf } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { REPOSITORY_ACTIONS, type RepositoryAction } from './access-types.ts'
import { type AccessGrant, AccessRules, type Subject } from './rules.ts'
import { repository } from './testing/fakes.ts'

const nobody: Subject = { name: undefined, groups: [] }
const alice: Subject = { name: 'alice', groups: [] }
const bob: Subject = { name: 'bob', groups: [] }
const corpBob: Subject = { name: 'corp:bob', groups: ['corp:devs'] }

function rules(grant: readonly AccessGrant[], groups: Record<string, string[]> = {}) {
  return new AccessRules([{ repositories: 'team/**', grant }], groups)
}

const allowed = (set: AccessRules, subject: Subject, name = 'team/app') =>
  REPOSITORY_ACTIONS.filter((action) => set.allows(subject, action, repository(name)))

describe('access rules', () => {
  it('let nobody do anything in own repositories and everybody pull mirrored ones when there are none', () => {
    const none = new AccessRules([])
    expect(allowed(none, alice)).toEqual([])
    expect(allowed(none, nobody, 'docker.io/library/nginx')).toEqual(['pull'])
    expect(allowed(none, alice, 'docker.io/library/nginx')).toEqual(['pull'])
  })

  it('grant to users by name', () => {
    const set = rules([{ users: ['alice'], actions: ['pull', 'create'] }])
    expect(allowed(set, alice)).toEqual(['pull', 'create'])
    expect(allowed(set, bob)).toEqual([])
    expect(allowed(set, nobody)).toEqual([])
    expect(allowed(set, alice, 'other/app')).toEqual([])
  })

  it('grant to groups of the configuration and of an identity provider', () => {
    const set = rules([{ groups: ['ops', 'corp:devs'], actions: ['delete'] }], { ops: ['alice'] })
    expect(allowed(set, alice)).toEqual(['delete'])
    expect(allowed(set, corpBob)).toEqual(['delete'])
    expect(allowed(set, bob)).toEqual([])
  })

  it('take no group of the configuration for a thing that objects have', () => {
    expect(allowed(rules([{ groups: ['constructor', '__proto__'], actions: ['pull'] }]), alice)).toEqual([])
  })

  it('grant to all who proved who they are, or to anyone', () => {
    const known = rules([{ authenticated: true, actions: ['pull'] }])
    expect(allowed(known, bob)).toEqual(['pull'])
    expect(allowed(known, nobody)).toEqual([])
    expect(allowed(rules([{ anyone: true, actions: ['pull'] }]), nobody)).toEqual(['pull'])
  })

  it('never take an undefined name for a user', () => {
    expect(allowed(rules([{ users: ['undefined', ''], actions: ['pull'] }]), nobody)).toEqual([])
  })

  it('add up the grants of one rule', () => {
    const set = rules([
      { anyone: true, actions: ['pull'] },
      { users: ['alice'], actions: ['create', 'update'] }
    ])
    expect(allowed(set, alice)).toEqual(['pull', 'create', 'update'])
    expect(allowed(set, bob)).toEqual(['pull'])
  })

  it('count the first rule that fits, and no other', () => {
    const set = new AccessRules([
      { repositories: 'team/secret', grant: [{ users: ['alice'], actions: ['pull'] }] },
      { repositories: 'team/**', grant: [{ anyone: true, actions: ['pull', 'create'] }] }
    ])
    expect(allowed(set, bob, 'team/secret')).toEqual([])
    expect(allowed(set, alice, 'team/secret')).toEqual(['pull'])
    expect(allowed(set, bob)).toEqual(['pull', 'create'])
  })

  it('close mirrored repositories when one says so', () => {
    const set = new AccessRules([{ repositories: 'docker.io/**', grant: [{ authenticated: true, actions: ['pull'] }] }])
    expect(allowed(set, nobody, 'docker.io/library/nginx')).toEqual([])
    expect(allowed(set, alice, 'docker.io/library/nginx')).toEqual(['pull'])
    expect(allowed(set, nobody, 'ghcr.io/a/b')).toEqual(['pull'])
  })

  it('refuse a pattern that means nothing', () => {
    expect(() => new AccessRules([{ repositories: 'a**', grant: [] }])).toThrow(
      expect.objectContaining({ code: 'RULES_INVALID', message: expect.stringContaining('a rule has') })
    )
  })
})

describe('any rules', () => {
  const names = ['alice', 'bob', 'carol']
  const groups = ['ops', 'devs']
  const grant: fc.Arbitrary<AccessGrant> = fc.record({
    users: fc.subarray(names),
    groups: fc.subarray(groups),
    authenticated: fc.boolean(),
    anyone: fc.boolean(),
    actions: fc.subarray<RepositoryAction>([...REPOSITORY_ACTIONS])
  })
  const rule = fc.record({
    repositories: fc.constantFrom('**', 'team/*', 'team/**', '*', 'docker.io/**', 'team/app'),
    grant: fc.array(grant, { maxLength: 4 })
  })
  const set = fc
    .tuple(fc.array(rule, { maxLength: 5 }), fc.dictionary(fc.constantFrom(...groups), fc.subarray(names)))
    .map(([list, members]) => new AccessRules(list, members))
  const asked = fc.constantFrom('team/app', 'app', 'team/a/b', 'docker.io/library/nginx').map(repository)
  const action = fc.constantFrom(...REPOSITORY_ACTIONS)

  it('give a user at least what they give everybody', () => {
    fc.assert(
      fc.property(set, asked, action, fc.constantFrom(...names), (all, name, act, user) => {
        if (all.allows(nobody, act, name)) expect(all.allows({ name: user, groups: [] }, act, name)).toBe(true)
      })
    )
  })

  it('give a member of a group at least what they give the same user without it', () => {
    fc.assert(
      fc.property(set, asked, action, fc.constantFrom(...names), (all, name, act, user) => {
        if (!all.allows({ name: user, groups: [] }, act, name)) return
        expect(all.allows({ name: user, groups: ['devs'] }, act, name)).toBe(true)
      })
    )
  })

  it('give nobody anything in own repositories by a rule that grants nothing before all others', () => {
    fc.assert(
      fc.property(fc.array(rule), asked, action, (list, name, act) => {
        const closed = new AccessRules([{ repositories: '**', grant: [] }, ...list])
        if (registryHostOf(name) === undefined) expect(closed.allows(alice, act, name)).toBe(false)
      })
    )
  })
})
