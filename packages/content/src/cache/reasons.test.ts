import { type Digest, mirroredRepository } from '@layermesh/oci'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { ContentStore } from '../interfaces.ts'
import { whole } from '../testing/bytes.ts'
import {
  APP,
  bring,
  cachedStore,
  GRACE_MS,
  isHere,
  KIB,
  LEASE_MS,
  OTHER,
  push,
  putManifest
} from '../testing/cached.ts'

const HUB = mirroredRepository('docker.io', 'library/nginx')
const QUOTA = { maxSize: { bytes: 1000 * KIB }, highWatermark: 0.9, lowWatermark: 0.01 } as const
const BLOB_BYTES = 10 * KIB

/** Why a blob is here, and, each alone, why it may have to stay. */
const REASONS = ['held', 'read', 'leased', 'pushed', 'mounted', 'pinned', 'own', 'cached', 'none'] as const
type Reason = (typeof REASONS)[number]

const STAY_WHEN_ROOM_IS_MADE: readonly Reason[] = ['held', 'read', 'leased', 'pushed', 'mounted', 'pinned', 'own']
const STAY_WHEN_GARBAGE_IS_COLLECTED: readonly Reason[] = ['held', 'read', 'leased', 'pinned', 'own']

/** Brings a blob here for that reason alone. @returns its digest, and what ends the reason where that takes an act */
async function bringFor(store: ContentStore, reason: Reason, seed: number): Promise<[Digest, () => unknown]> {
  if (reason === 'pushed') return [await push(store, OTHER, BLOB_BYTES, seed), () => {}]
  const digest = await bring(store, BLOB_BYTES, seed)
  if (reason === 'held') {
    const hold = await store.leases.hold([digest])
    return [digest, () => hold.release()]
  }
  if (reason === 'read') {
    const reader = await store.blobs.open(digest)
    if (reader === undefined) throw new Error('a blob is gone that was just brought')
    const reading = reader.read(whole(reader))[Symbol.asyncIterator]()
    await reading.next()
    return [digest, () => reading.return?.()]
  }
  if (reason === 'mounted') await store.repositories.mountBlob(OTHER, digest)
  if (reason === 'own') await putManifest(store, APP, [digest], 1000 + seed)
  if (reason === 'cached') await putManifest(store, HUB, [digest], 1000 + seed)
  if (reason === 'pinned') {
    const manifest = await putManifest(store, OTHER, [digest], 1000 + seed)
    await store.pins.add({ repository: OTHER, digest: manifest, reference: 'x', at: 1 })
    // The pin alone is to keep it from being collected.
    await store.repositories.deleteManifest(OTHER, manifest)
  }
  return [digest, () => {}]
}

async function reasonsHere(store: ContentStore, blobs: ReadonlyMap<Reason, Digest>): Promise<Reason[]> {
  const here: Reason[] = []
  for (const [reason, digest] of blobs) if (await isHere(store, digest)) here.push(reason)
  return here.sort()
}

it('keeps each blob for each reason alone, in whatever order they came, and no other', async () => {
  const orders = fc.shuffledSubarray([...REASONS], { minLength: REASONS.length })
  await fc.assert(
    fc.asyncProperty(orders, async (order) => {
      const { store, clock } = await cachedStore({ ...QUOTA, retains: (repository) => repository === APP })
      const blobs = new Map<Reason, Digest>()
      const ends: (() => unknown)[] = []
      for (const [seed, reason] of order.entries()) {
        const [digest, end] = await bringFor(store, reason, seed)
        blobs.set(reason, digest)
        ends.push(end)
        clock.now += 1
      }
      const renew = () => store.leases.renew([blobs.get('leased') as Digest])
      const expectHere = async (reasons: readonly Reason[], when: string) =>
        expect(await reasonsHere(store, blobs), when).toEqual([...reasons].sort())

      clock.now += LEASE_MS
      await renew()
      const pressed = clock.now
      await bring(store, 850 * KIB, 500)
      // What finds no room has waited until all is gone that can be spared.
      await expect(bring(store, 200 * KIB, 501)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
      await expectHere(STAY_WHEN_ROOM_IS_MADE, 'room is made')

      clock.now = pressed - LEASE_MS - REASONS.length + GRACE_MS - 1
      await renew()
      await store.collectGarbage()
      await expectHere(STAY_WHEN_ROOM_IS_MADE, 'the grace is not over')

      clock.now += 2 * GRACE_MS
      await renew()
      await store.collectGarbage()
      await expectHere(STAY_WHEN_GARBAGE_IS_COLLECTED, 'the grace is over')
      expect(await store.repositories.hasBlob(HUB, blobs.get('cached') as Digest)).toBe(true)

      for (const end of ends) await end()
      clock.now += 2 * GRACE_MS
      await store.collectGarbage()
      await expectHere(['pinned', 'own'], 'all reasons are over that end')
      await store.close()
    }),
    { numRuns: 4 }
  )
}, 120_000)
