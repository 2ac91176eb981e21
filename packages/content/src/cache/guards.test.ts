import type { Digest } from '@layermesh/oci'
import { digestOf } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Hold } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import { Guards } from './guards.ts'

const digests = Array.from({ length: 4 }, (_, seed) => digestOf(bytesOf(8, seed)))
const [A, B, C] = digests as [Digest, Digest, Digest]
const LEASE_MS = 100

function make(maxLeases = 100) {
  const clock = { now: 1_000 }
  return { clock, guards: new Guards(() => clock.now, { leaseMs: LEASE_MS, maxLeases }) }
}

describe('guards', () => {
  it('keep what was used for the length of a lease', () => {
    const { clock, guards } = make()
    expect(guards.renew(A)).toBeUndefined()
    clock.now += LEASE_MS - 1
    expect(guards.claim(A)).toBeUndefined()
    expect(guards.claim(B)).toBeDefined()
    clock.now += 1
    expect(guards.claim(A)).toBeDefined()
  })

  it('keep what is held until the last one lets go, and for a lease after', async () => {
    const { clock, guards } = make()
    const [first, second] = [await guards.hold([A, B]), await guards.hold([A, A])]
    clock.now += 10 * LEASE_MS
    first.release()
    first.release()
    clock.now += 10 * LEASE_MS
    expect(guards.claim(A)).toBeUndefined()
    expect(guards.claim(B)).toBeDefined()
    second.release()
    expect(guards.claim(A)).toBeUndefined()
    clock.now += LEASE_MS
    expect(guards.claim(A)).toBeDefined()
  })

  it('have who comes to need something wait while it is removed', async () => {
    const { guards } = make()
    const over = guards.claim(A)
    const events: string[] = []
    const renewed = guards.renew(A)?.then(() => events.push('renewed'))
    const held = guards.hold([B, A]).then(() => events.push('held'))
    await Promise.resolve()
    events.push('removed')
    over?.()
    await Promise.all([renewed, held])
    expect(events[0]).toBe('removed')
    expect(events.slice(1).sort()).toEqual(['held', 'renewed'])
  })

  it('let only one remove something', () => {
    const { guards } = make()
    const over = guards.claim(A)
    expect(guards.claim(A)).toBeUndefined()
    over?.()
    expect(guards.claim(A)).toBeDefined()
  })

  it('keep everything when there are more leases than are remembered, until the forgotten are over', () => {
    const { clock, guards } = make(2)
    guards.touch(A)
    clock.now += 10
    guards.touch(B)
    guards.touch(C)
    expect(guards.claim(A)).toBeUndefined()
    clock.now += LEASE_MS - 10
    expect(guards.claim(A)).toBeDefined()
    expect(guards.claim(B)).toBeUndefined()
  })

  it('tell of each use once', () => {
    const { clock, guards } = make()
    guards.touch(A)
    clock.now += 5
    guards.touch(B)
    expect([...guards.takeUses()]).toEqual([
      [A, 1_000],
      [B, 1_005]
    ])
    guards.touch(B)
    expect([...guards.takeUses()]).toEqual([[B, 1_005]])
  })

  it('know of a use until it was told of and written down, however long ago it was', () => {
    const { clock, guards } = make()
    guards.touch(A)
    clock.now += 10 * LEASE_MS
    guards.takeUses()
    expect(guards.usedAt(A)).toBe(1_000)
    guards.takeUses()
    expect(guards.usedAt(A)).toBeUndefined()
  })
})

type Step =
  | { readonly kind: 'touch' | 'hold' | 'claim'; readonly digest: number }
  | { readonly kind: 'release' | 'over'; readonly nth: number }
  | { readonly kind: 'pass'; readonly ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('touch' as const, 'hold' as const, 'claim' as const), digest: fc.nat(3) }),
  fc.record({ kind: fc.constantFrom('release' as const, 'over' as const), nth: fc.nat(5) }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(60) })
)

it('never let anything be removed that is held or leased, whatever happens in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (steps, maxLeases) => {
      const { clock, guards } = make(maxLeases)
      const usedAt = new Map<Digest, number>()
      const holds: { hold: Hold; digest: Digest }[] = []
      const claims: { over: () => void; digest: Digest }[] = []
      for (const each of steps) {
        if (each.kind === 'pass') clock.now += each.ms
        if (each.kind === 'release') {
          const [ended] = holds.splice(each.nth, 1)
          ended?.hold.release()
          if (ended) usedAt.set(ended.digest, clock.now)
        }
        if (each.kind === 'over') claims.splice(each.nth, 1)[0]?.over()
        if (!('digest' in each)) continue
        const digest = digests[each.digest] as Digest
        const isClaimed = claims.some((claim) => claim.digest === digest)
        if (each.kind === 'touch') {
          guards.touch(digest)
          usedAt.set(digest, clock.now)
        }
        // Who holds what is being removed waits, which the other tests look at.
        if (each.kind === 'hold' && !isClaimed) {
          holds.push({ hold: await guards.hold([digest]), digest })
          usedAt.set(digest, clock.now)
        }
        if (each.kind === 'claim') {
          const over = guards.claim(digest)
          if (over === undefined) continue
          claims.push({ over, digest })
          expect(isClaimed).toBe(false)
          expect(holds.some((held) => held.digest === digest)).toBe(false)
          expect(clock.now - (usedAt.get(digest) ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(LEASE_MS)
        }
      }
    })
  )
})
