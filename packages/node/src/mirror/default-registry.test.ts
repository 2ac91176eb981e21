import type { Repository } from '@layermesh/oci'
import { type TrustGrant, TrustPolicy } from '@layermesh/trust'
import { describe, expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { DefaultRegistry } from './default-registry.ts'

const { peerId } = await makeIdentity()
const EVERYTHING: readonly TrustGrant[] = [{ peerId }]

function makeRegistry(
  options: {
    trust?: readonly TrustGrant[]
    host?: string | undefined
    here?: string[]
    seeds?: () => boolean | undefined
  } = {}
) {
  const { trust = EVERYTHING, here = [], seeds = () => false } = options
  const clock = { now: 1_000 }
  let asked = 0
  const registry = new DefaultRegistry({
    host: 'host' in options ? options.host : 'docker.io',
    trust: new TrustPolicy(trust),
    isHere: async (repository) => here.includes(repository),
    isAtSeeds: async () => {
      asked++
      return seeds()
    },
    now: () => clock.now
  })
  return {
    alternative: (name: string) => registry.alternative(name as Repository),
    hasOwn: (name: string) => registry.hasOwn(name as Repository),
    clock,
    asked: () => asked
  }
}

describe('a name without a registry', () => {
  it('of an official image is the default registry’s, whatever was pushed', () => {
    const { alternative } = makeRegistry({ here: ['library/nginx'] })
    expect(alternative('library/nginx')).toEqual({ repository: 'docker.io/library/nginx', always: true })
  })

  it.each([['library/nginx'], ['library/*'], ['library/**']])(
    'is the mesh’s own where trust names it: %s',
    (pattern) => {
      const { alternative } = makeRegistry({ trust: [{ peerId, repositories: ['**', pattern] }] })
      expect(alternative('library/nginx')).toBeUndefined()
    }
  )

  it('is the default registry’s where nobody may sign for it', () => {
    const { alternative } = makeRegistry({ trust: [{ peerId, repositories: ['docker.io/**', 'ours/*'] }] })
    expect(alternative('team/app')).toEqual({ repository: 'docker.io/team/app', always: true })
    expect(alternative('ours/app')).toBeUndefined()
  })

  it('else may be either, a single word one of the official images', () => {
    const { alternative } = makeRegistry()
    expect(alternative('team/app')).toEqual({ repository: 'docker.io/team/app', always: false })
    expect(alternative('nginx')).toEqual({ repository: 'docker.io/library/nginx', always: false })
  })

  it('is the mesh’s own where there is no default registry', () => {
    const { alternative } = makeRegistry({ host: undefined })
    expect([alternative('library/nginx'), alternative('team/app')]).toEqual([undefined, undefined])
  })
})

describe('whether the mesh has a repository of its own', () => {
  it('is known of what is here, and nobody asked', async () => {
    const { hasOwn, asked } = makeRegistry({ here: ['team/app'] })
    expect([await hasOwn('team/app'), asked()]).toEqual([true, 0])
  })

  it.each([true, false])('is the word of the seeds: %s', async (answer) => {
    expect(await makeRegistry({ seeds: () => answer }).hasOwn('team/app')).toBe(answer)
  })

  it('is taken for granted when no seed answers, so that nobody’s image elsewhere passes for it', async () => {
    expect(await makeRegistry({ seeds: () => undefined }).hasOwn('team/app')).toBe(true)
  })

  it('is asked again soon when it has not, or nobody knew', async () => {
    let answer: boolean | undefined = false
    const { hasOwn, clock, asked } = makeRegistry({ seeds: () => answer })
    await hasOwn('team/app')
    await hasOwn('team/app')
    expect(asked()).toBe(1)
    answer = true
    clock.now += 2_001
    expect([await hasOwn('team/app'), asked()]).toEqual([true, 2])
    clock.now += 20_000
    await hasOwn('team/app')
    expect(asked()).toBe(2)
  })
})
