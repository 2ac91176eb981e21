import { type Digest, digestOf, mirroredRepository, parseTag, type Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { ContentStore, TagEntry } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import { APP, bring, cachedStore, GRACE_MS, isHere, KIB, LEASE_MS, MANIFEST_TYPE } from '../testing/cached.ts'
import { PATIENT } from '../testing/stores.ts'

const HUB = mirroredRepository('docker.io', 'library/nginx')
const FORGET_MS = 100 * GRACE_MS
const QUOTA = { maxSize: { bytes: 1000 * KIB }, highWatermark: 0.9, lowWatermark: 0.1 } as const
const TAG = parseTag('1')

function entryOf(sequence: number, digest?: Digest): TagEntry {
  return { sequence, ...(digest && { digest }), envelope: bytesOf(20, sequence), confirmedAt: sequence }
}

/** A store where what is in `APP` must stay, and images that were removed are soon forgotten. */
async function open(options: Parameters<typeof cachedStore>[0] = {}, place?: string) {
  const retains = (repository: Repository) => repository === APP
  const opened = await cachedStore({ ...QUOTA, retains, forgetImagesMs: FORGET_MS, ...options }, place)
  const { store, clock } = opened
  /** Keeps a manifest that came now, with what it names. */
  const keep = async (repository: Repository, names: readonly Digest[], seed: number, subject?: Digest) => {
    const bytes = bytesOf(100, seed)
    const digest = digestOf(bytes)
    const entry = { digest, mediaType: MANIFEST_TYPE, size: 100, at: clock.now, ...(subject && { subject }) }
    await store.blobs.put(digest, bytes)
    await store.repositories.putManifest(repository, entry, [digest, ...names])
    return digest
  }
  /** Has all go that need not stay, these among it. */
  const evict = async (...gone: Digest[]) => {
    clock.now += LEASE_MS
    await bring(store, 950 * KIB, 999)
    for (const digest of gone) await expect.poll(() => isHere(store, digest), PATIENT).toBe(false)
    clock.now += LEASE_MS
  }
  return { ...opened, keep, evict }
}

const hasManifest = async (store: ContentStore, repository: Repository, digest: Digest) =>
  (await store.repositories.manifest(repository, digest)) !== undefined

describe('images that were removed to make room', () => {
  it('are forgotten long after they came, with their links and their place among the referrers', async () => {
    const { store, clock, keep, evict } = await open()
    const layer = await bring(store, 40 * KIB, 1)
    const image = await keep(HUB, [layer], 50)
    const signature = await keep(HUB, [], 51, image)
    await evict(layer, image, signature)
    clock.now += FORGET_MS - 2 * LEASE_MS - 1
    await store.collectGarbage()
    for (const digest of [image, signature]) expect(await hasManifest(store, HUB, digest)).toBe(true)
    expect(await store.repositories.hasBlob(HUB, layer)).toBe(true)
    clock.now += 1
    const { rows } = await store.collectGarbage({ dryRun: true })
    expect(rows).toBeGreaterThanOrEqual(2)
    await store.collectGarbage()
    for (const digest of [image, signature]) expect(await hasManifest(store, HUB, digest)).toBe(false)
    for (const digest of [layer, image, signature])
      expect(await store.repositories.hasBlob(HUB, digest), digest).toBe(false)
    expect(await store.repositories.referrers(HUB, image)).toEqual([])
    expect(await keep(HUB, [await bring(store, 40 * KIB, 1)], 50)).toBe(image)
  })

  it('stay known as long as a tag, a pin or another manifest leads to them', async () => {
    const { store, clock, keep, evict } = await open()
    const [tagged, pinned, child] = [await keep(HUB, [], 50), await keep(HUB, [], 51), await keep(HUB, [], 52)]
    const index = await keep(HUB, [child], 53)
    await store.tags.put(HUB, TAG, entryOf(1, tagged))
    await store.tags.put(HUB, parseTag('2'), entryOf(2, index))
    await evict(tagged, pinned, child, index)
    await store.pins.add({ repository: HUB, digest: pinned, reference: 'x', at: 1 })
    clock.now += 2 * FORGET_MS
    await store.collectGarbage()
    for (const digest of [tagged, pinned, child, index]) expect(await hasManifest(store, HUB, digest)).toBe(true)
    await store.tags.put(HUB, TAG, entryOf(3))
    await store.tags.put(HUB, parseTag('2'), entryOf(4))
    await store.pins.remove(HUB, pinned)
    // What the index names is looked at before it or after it, by its digest.
    await store.collectGarbage()
    await store.collectGarbage()
    for (const digest of [tagged, pinned, child, index]) expect(await hasManifest(store, HUB, digest)).toBe(false)
  })

  it('stay known where they are here, were asked for a moment ago, or must be kept for others', async () => {
    const { store, clock, keep, evict } = await open()
    const [used, own, here] = [await keep(HUB, [], 50), await keep(APP, [], 51), digestOf(bytesOf(100, 52))]
    await evict(used)
    await store.blobs.delete(own)
    await keep(HUB, [], 52)
    clock.now += 2 * FORGET_MS
    await store.leases.renew([used])
    await store.collectGarbage()
    expect(await hasManifest(store, HUB, used)).toBe(true)
    expect(await hasManifest(store, APP, own)).toBe(true)
    expect(await hasManifest(store, HUB, here)).toBe(true)
    clock.now += GRACE_MS
    await store.collectGarbage()
    expect(await hasManifest(store, HUB, used)).toBe(false)
  })
})

describe('tags that may be forgotten', () => {
  it('go with their history; the highest sequence is remembered of each repository', async () => {
    const { store, directory, clock } = await open({ mayForgetTag: async ({ digest }) => digest === undefined })
    const [kept, gone] = [parseTag('kept'), parseTag('gone')]
    const digest = digestOf(bytesOf(10))
    await store.tags.put(APP, kept, entryOf(9, digest))
    await store.tags.put(APP, gone, entryOf(5), { history: { sequence: 5, at: 1, signer: 'x' } })
    await store.tags.put(APP, TAG, entryOf(3))
    expect(await store.tags.forgotten(APP)).toBe(0)
    expect(await store.collectGarbage({ dryRun: true })).toMatchObject({ rows: 2 })
    expect(await store.tags.get(APP, gone)).toBeDefined()
    expect(await store.collectGarbage()).toMatchObject({ rows: 2 })
    expect(await store.tags.get(APP, gone)).toBeUndefined()
    expect(await store.tags.history(APP, gone, { limit: 10 })).toEqual([])
    expect(await store.tags.get(APP, kept)).toEqual(entryOf(9, digest))
    await store.close()
    const { store: again } = await open({ now: () => clock.now }, directory)
    expect(await again.tags.forgotten(APP)).toBe(5)
    expect(await again.tags.forgotten(HUB)).toBe(0)
  })

  it('lead to their manifest no more', async () => {
    const { store, clock, keep, evict } = await open({ mayForgetTag: async () => true })
    const image = await keep(HUB, [], 50)
    await store.tags.put(HUB, TAG, entryOf(1, image))
    await evict(image)
    clock.now += FORGET_MS
    await store.collectGarbage()
    expect(await store.tags.pointingAt(HUB, image)).toEqual([])
    expect(await hasManifest(store, HUB, image)).toBe(false)
  })

  it('stay when they were changed after it was asked whether they may go', async () => {
    const newer = entryOf(2, digestOf(bytesOf(10)))
    const { store } = await open({
      mayForgetTag: async () => {
        await store.tags.put(APP, TAG, newer)
        return true
      }
    })
    await store.tags.put(APP, TAG, entryOf(1))
    expect(await store.collectGarbage()).toMatchObject({ rows: 0 })
    expect(await store.tags.get(APP, TAG)).toEqual(newer)
    expect(await store.tags.forgotten(APP)).toBe(0)
  })

  it('leave a note on manifests that must stay until when they were meant, as their age counts from then', async () => {
    const { store, clock, keep } = await open({ mayForgetTag: async () => true })
    const [first, second] = [await keep(APP, [], 50), await keep(APP, [], 51)]
    const cameAt = clock.now
    const change = { signer: 'x', sequence: 1 }
    await store.tags.put(APP, TAG, entryOf(1, first), { history: { ...change, at: cameAt + 10, digest: first } })
    await store.tags.put(APP, TAG, entryOf(2), {
      history: { ...change, sequence: 2, at: cameAt + 20, previous: first }
    })
    await store.collectGarbage()
    expect(await store.tags.get(APP, TAG)).toBeUndefined()
    expect((await store.repositories.manifest(APP, first))?.at).toBe(cameAt + 20)
    expect((await store.repositories.manifest(APP, second))?.at).toBe(cameAt)
  })
})

it('forgets each once, and goes on where it ended, also after a restart in the middle', async () => {
  const COUNT = 60
  const asked: string[] = []
  let ending = new AbortController()
  const mayForgetTag = async ({ tag }: { tag: string }) => {
    asked.push(tag)
    if (asked.length % 25 === 0) ending.abort()
    return true
  }
  const { store, clock, keep, evict, directory } = await open({ mayForgetTag })
  const images: Digest[] = []
  for (let index = 0; index < COUNT; index++) {
    images.push(await keep(HUB, [], 100 + index))
    await store.tags.put(HUB, parseTag(`t${index}`), entryOf(index + 1, images[index]))
  }
  await evict(...images)
  clock.now += FORGET_MS
  let current = store
  let rows = 0
  let runs = 0
  for (let complete = false; !complete; runs++) {
    ending = new AbortController()
    const report = await current.collectGarbage({ signal: ending.signal })
    complete = report.complete
    rows += report.rows
    if (complete) break
    await current.close()
    const again = await open({ mayForgetTag, now: () => clock.now }, directory)
    current = again.store
    clock.now += GRACE_MS
  }
  expect(runs).toBe(2)
  expect(asked).toHaveLength(COUNT)
  expect(new Set(asked).size).toBe(COUNT)
  for (const image of images) expect(await hasManifest(current, HUB, image)).toBe(false)
  expect(rows).toBeGreaterThanOrEqual(2 * COUNT)
  expect(await current.tags.forgotten(HUB)).toBe(COUNT)
})
