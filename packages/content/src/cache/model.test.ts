import { type Digest, digestOf, type Repository } from '@layermesh/oci'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { ContentStore, Hold } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import {
  APP,
  bring,
  cachedStore,
  GRACE_MS,
  isHere,
  KIB,
  LEASE_MS,
  MANIFEST_TYPE,
  OTHER,
  push
} from '../testing/cached.ts'

const SIZES = [30, 50, 70, 90, 110].map((size) => size * KIB)
const BLOBS = SIZES.map((length, seed) => ({ length, seed, digest: digestOf(bytesOf(length, seed)) }))
const MANIFESTS = Array.from({ length: 4 }, (_, index) => {
  const bytes = bytesOf(100, 100 + index)
  return { bytes, digest: digestOf(bytes) }
})
const QUOTA_BYTES = 300 * KIB

type Step =
  | { readonly kind: 'push' | 'bring' | 'open' | 'hold' | 'mount'; readonly blob: number }
  | { readonly kind: 'manifest'; readonly manifest: number; readonly blobs: readonly number[]; readonly own: boolean }
  | { readonly kind: 'delete' | 'pin' | 'unpin'; readonly manifest: number; readonly own: boolean }
  | { readonly kind: 'release' | 'collect' }
  | { readonly kind: 'pass'; readonly ms: number }

const blob = fc.nat(BLOBS.length - 1)
const manifest = fc.nat(MANIFESTS.length - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constantFrom('push' as const, 'bring' as const), blob }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('open' as const, 'hold' as const, 'mount' as const), blob })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('manifest' as const),
      manifest,
      blobs: fc.uniqueArray(blob, { minLength: 1, maxLength: 3 }),
      own: fc.boolean()
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('delete' as const, 'pin' as const, 'unpin' as const),
      manifest,
      own: fc.boolean()
    })
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('release' as const, 'collect' as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(1, LEASE_MS, GRACE_MS, 2 * GRACE_MS)
    })
  }
)

/** What must be here, by the rules as a user would tell them. `APP` is retained, `OTHER` is cache. */
class Model {
  readonly usedAt = new Map<Digest, number>()
  readonly pushedAt = new Map<Digest, number>()
  readonly held = new Map<Digest, number>()
  readonly links = { own: new Set<Digest>(), other: new Set<Digest>() }
  readonly manifests = { own: new Map<Digest, Digest[]>(), other: new Map<Digest, Digest[]>() }
  readonly pins = { own: new Map<Digest, Set<Digest>>(), other: new Map<Digest, Set<Digest>>() }

  /** Whether neither the evictor nor the garbage collector may remove a blob that is here. */
  mustStay(digest: Digest, now: number): boolean {
    const used = this.usedAt.get(digest) ?? Number.NEGATIVE_INFINITY
    const pushed = Math.max(this.pushedAt.get(digest) ?? Number.NEGATIVE_INFINITY)
    const isPinned = [...this.pins.own.values(), ...this.pins.other.values()].some((covered) => covered.has(digest))
    const isNamedInOwn = [...this.manifests.own].some(([name, names]) => name === digest || names.includes(digest))
    return (
      this.held.has(digest) ||
      now < used + LEASE_MS ||
      (this.pushedAt.has(digest) && now < Math.max(pushed, used) + GRACE_MS) ||
      isPinned ||
      (isNamedInOwn && this.links.own.has(digest))
    )
  }
}

async function apply(
  store: ContentStore,
  model: Model,
  each: Step,
  now: number,
  holds: { hold: Hold; digest: Digest }[]
) {
  const wanted = 'blob' in each ? BLOBS[each.blob] : undefined
  if (wanted !== undefined) {
    const { digest, length, seed } = wanted
    if (each.kind === 'push') {
      await push(store, APP, length, seed)
      model.pushedAt.set(digest, now)
      model.links.own.add(digest)
    }
    if (each.kind === 'bring') await bring(store, length, seed)
    if (each.kind === 'open') await store.blobs.open(digest)
    if (each.kind === 'mount' && (await store.repositories.mountBlob(OTHER, digest))) {
      model.pushedAt.set(digest, now)
      model.links.other.add(digest)
    }
    if (each.kind === 'hold') {
      holds.push({ hold: await store.leases.hold([digest]), digest })
      model.held.set(digest, (model.held.get(digest) ?? 0) + 1)
    }
    model.usedAt.set(digest, now)
  }
  if (each.kind === 'release') {
    const ended = holds.shift()
    if (ended === undefined) return
    ended.hold.release()
    const count = (model.held.get(ended.digest) ?? 1) - 1
    if (count > 0) model.held.set(ended.digest, count)
    else model.held.delete(ended.digest)
    model.usedAt.set(ended.digest, now)
  }
  if (!('manifest' in each)) return
  const { digest, bytes } = MANIFESTS[each.manifest] as (typeof MANIFESTS)[number]
  const side = each.own ? 'own' : 'other'
  const repository: Repository = each.own ? APP : OTHER
  if (each.kind === 'manifest') {
    const names = each.blobs.map((index) => (BLOBS[index] as (typeof BLOBS)[number]).digest)
    await store.blobs.put(digest, bytes)
    await store.repositories.putManifest(repository, { digest, mediaType: MANIFEST_TYPE, size: 100 }, [
      digest,
      ...names
    ])
    model.manifests[side].set(digest, names)
    for (const name of [digest, ...names]) {
      model.links[side].add(name)
      model.pushedAt.delete(name)
      model.usedAt.set(name, now)
      for (const covered of model.pins[side].values()) if (covered.has(digest)) covered.add(name)
    }
  }
  if (each.kind === 'delete') {
    await store.repositories.deleteManifest(repository, digest)
    model.manifests[side].delete(digest)
  }
  if (each.kind === 'pin' && model.manifests[side].has(digest)) {
    await store.pins.add({ repository, digest, reference: 'x', at: now })
    const covered = model.pins[side].get(digest) ?? new Set()
    model.pins[side].set(digest, new Set([...covered, digest, ...(model.manifests[side].get(digest) ?? [])]))
    model.usedAt.set(digest, now)
  }
  if (each.kind === 'unpin') {
    await store.pins.remove(repository, digest)
    model.pins[side].delete(digest)
  }
}

it('removes nothing that must stay, stays within the quota, and collects all garbage in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const { store, clock } = await cachedStore({
        maxSize: { bytes: QUOTA_BYTES },
        highWatermark: 0.9,
        lowWatermark: 0.6,
        retains: (repository) => repository === APP
      })
      const model = new Model()
      const holds: { hold: Hold; digest: Digest }[] = []
      const all = [...BLOBS, ...MANIFESTS].map(({ digest }) => digest)
      for (const each of steps) {
        const here: Digest[] = []
        for (const digest of all) if (await isHere(store, digest)) here.push(digest)
        if (each.kind === 'pass') clock.now += each.ms
        const staying = here.filter((digest) => model.mustStay(digest, clock.now))
        // Full is full: then nothing has changed.
        const before = structuredClone(model.usedAt)
        const isFull = await apply(store, model, each, clock.now, holds).then(
          () => false,
          (error) => {
            const { code, cause } = error as { code?: string; cause?: { code?: string } }
            if (code !== 'DISK_FULL' && cause?.code !== 'DISK_FULL') throw error
            return true
          }
        )
        if (isFull) for (const [digest, at] of before) model.usedAt.set(digest, at)
        if (each.kind === 'collect') await store.collectGarbage()
        for (const digest of staying) expect(await isHere(store, digest), `${each.kind}: ${digest}`).toBe(true)
        expect(store.blobs.usedBytes()).toBeLessThanOrEqual(QUOTA_BYTES)
      }
      for (const { hold } of holds) hold.release()
      clock.now += 2 * GRACE_MS
      await store.collectGarbage()
      const named = new Set(
        [...model.manifests.own, ...model.manifests.other].flatMap(([digest, names]) => [digest, ...names])
      )
      const pinned = new Set([...model.pins.own.values(), ...model.pins.other.values()].flatMap((set) => [...set]))
      for (const digest of all) {
        const isNeeded = named.has(digest) || pinned.has(digest)
        if (!isNeeded) expect(await isHere(store, digest), digest).toBe(false)
      }
      await store.close()
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? 15) }
  )
})
