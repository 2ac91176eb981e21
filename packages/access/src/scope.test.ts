import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { REPOSITORY_ACTIONS, type RepositoryAction } from './access-types.ts'
import { actionsFor, formatScope, grantedActions, meaningOf, parseScope, parseScopes } from './scope.ts'

describe('a scope', () => {
  it.each([
    ['repository:team/app:pull', 'repository', 'team/app', ['pull']],
    ['repository:team/app:pull,push,pull', 'repository', 'team/app', ['pull', 'push']],
    ['repository:localhost:5000/team/app:pull,push', 'repository', 'localhost:5000/team/app', ['pull', 'push']],
    ['repository(plugin):a:pull', 'repository', 'a', ['pull']],
    ['registry:catalog:*', 'registry', 'catalog', ['*']]
  ])('%s has type, name and actions', (text, type, name, actions) => {
    expect(parseScope(text)).toEqual({ type, name, actions })
  })

  it.each([
    '',
    ':',
    '::',
    'repository',
    'repository:a',
    'repository::pull',
    'repository:a:',
    ':a:pull',
    'Repository:a:pull',
    'repository:a:PULL',
    'repository:a:pull,',
    'repository:a:pull push',
    'repository():a:pull',
    `repository:${'a'.repeat(600)}:pull`
  ])('is none when it is %j', (text) => {
    expect(parseScope(text)).toBeUndefined()
  })

  it('is read back as it was written', () => {
    const action = fc.constantFrom('pull', 'push', 'delete', '*')
    const scope = fc.record({
      type: fc.constantFrom('repository', 'registry'),
      name: fc.stringMatching(/^[a-z0-9.:/_-]{1,80}$/),
      actions: fc.uniqueArray(action, { minLength: 1 })
    })
    fc.assert(
      fc.property(scope, (value) => {
        expect(parseScope(formatScope(value))).toEqual(value)
      })
    )
  })

  it('is never made of what is none, and never fails', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const scope = parseScope(text)
        if (scope !== undefined) expect(parseScope(formatScope(scope))).toEqual(scope)
      }),
      { numRuns: 2_000 }
    )
  })

  it('may come with others, apart or with spaces between; what is none is left out', () => {
    const scopes = parseScopes(['repository:a:pull nonsense  repository:b:push', '', 'repository:c:pull'])
    expect(scopes.map(formatScope)).toEqual(['repository:a:pull', 'repository:b:push', 'repository:c:pull'])
  })

  it('is looked at 32 times at most', () => {
    expect(parseScopes(Array.from({ length: 1_000 }, (_, i) => `repository:a${i}:pull`))).toHaveLength(32)
  })
})

describe('the actions of the protocol', () => {
  it('mean those of the rules', () => {
    expect([...meaningOf(['push'])]).toEqual(['create', 'update'])
    expect([...meaningOf(['*'])]).toEqual(REPOSITORY_ACTIONS)
    expect([...meaningOf(['constructor', 'admin', ''])]).toEqual([])
  })

  it('are asked for as clients understand them', () => {
    expect(actionsFor(['pull'])).toEqual(['pull'])
    expect(actionsFor(['create'])).toEqual(['pull', 'push'])
    expect(actionsFor(['pull', 'create', 'update'])).toEqual(['pull', 'push'])
    expect(actionsFor(['delete'])).toEqual(['delete'])
    expect(actionsFor([])).toEqual([])
  })

  it('are granted as far as they are both asked for and allowed', () => {
    const granted = (asked: string[], ...allowed: RepositoryAction[]) =>
      grantedActions(asked, (action) => allowed.includes(action))
    expect(granted(['pull', 'push'], 'pull')).toEqual(['pull'])
    expect(granted(['pull', 'push'], 'pull', 'create')).toEqual(['pull', 'push'])
    expect(granted(['push'], 'update')).toEqual(['push'])
    expect(granted(['*'], 'pull', 'create', 'delete')).toEqual(['pull', 'push', 'delete'])
    expect(granted(['pull'], 'delete')).toEqual([])
    expect(granted(['admin'], ...REPOSITORY_ACTIONS)).toEqual([])
  })

  it('never grant what is not allowed, and never more than was asked', () => {
    const some = fc.subarray([...REPOSITORY_ACTIONS])
    const asked = fc.subarray(['pull', 'push', 'delete', '*', 'admin'])
    fc.assert(
      fc.property(asked, some, (wanted, allowed) => {
        const granted = grantedActions(wanted, (action) => allowed.includes(action))
        for (const action of granted) {
          expect(wanted.includes(action) || wanted.includes('*')).toBe(true)
          expect([...meaningOf([action])].some((meant) => allowed.includes(meant))).toBe(true)
        }
      })
    )
  })
})
