import { existsSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { type Digest, digestOf, parseTag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { GarbageReport } from '../interfaces.ts'
import { bytesOf, MIB, pieceOf } from '../testing/bytes.ts'
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
import { ManualSource } from '../testing/sources.ts'
import { blobPath, flipBit, openStore, temporaryDirectory } from '../testing/stores.ts'

const NOTHING = { unlinked: 0, blobs: 0, partials: 0, bytes: 0, rows: 0, spared: 0, complete: true }

describe('garbage collection', () => {
  it('removes what was pushed and never named, after the grace', async () => {
    const { store, clock, removed } = await cachedStore()
    const [named, lost] = [await push(store, APP, 10 * KIB, 1), await push(store, APP, 20 * KIB, 2)]
    await putManifest(store, APP, [named], 50)
    clock.now += GRACE_MS - 1
    expect(await store.collectGarbage()).toMatchObject({ ...NOTHING, spared: 1 })
    clock.now += 1
    expect(await store.collectGarbage()).toMatchObject({ ...NOTHING, unlinked: 1, blobs: 1, bytes: 20 * KIB })
    expect(removed).toEqual([{ digest: lost, bytes: 20 * KIB, reason: 'garbage', whole: true }])
    expect(await store.repositories.hasBlob(APP, lost)).toBe(false)
    expect(await store.repositories.hasBlob(APP, named)).toBe(true)
    expect(await isHere(store, named)).toBe(true)
  })

  it('keeps what was mounted for the grace, also after a crash', async () => {
    const { store, clock, directory } = await cachedStore()
    const layer = await push(store, OTHER, 10 * KIB, 1)
    const manifest = await putManifest(store, OTHER, [layer], 50)
    clock.now += 2 * GRACE_MS
    expect(await store.repositories.mountBlob(APP, layer)).toBe(true)
    await store.repositories.deleteManifest(OTHER, manifest)
    // What the disk holds now, without what is noted when a store is closed.
    const left = await temporaryDirectory()
    await cp(directory, left, { recursive: true })
    const after = await cachedStore({}, left)
    after.clock.now = clock.now + GRACE_MS - 1
    await after.store.collectGarbage()
    expect(await after.store.repositories.hasBlob(APP, layer)).toBe(true)
    expect(await isHere(after.store, layer)).toBe(true)
    after.clock.now += 1
    await after.store.collectGarbage()
    expect(await isHere(after.store, layer)).toBe(false)
  })

  it('unlinks in the one repository that names it no more, and keeps the bytes for the other', async () => {
    const { store, clock } = await cachedStore()
    const layer = await push(store, APP, 10 * KIB, 1)
    await store.repositories.linkBlobs(OTHER, [layer])
    const manifests = [await putManifest(store, APP, [layer], 50), await putManifest(store, OTHER, [layer], 51)]
    await store.repositories.deleteManifest(APP, manifests[0] as Digest)
    clock.now += GRACE_MS
    expect(await store.collectGarbage()).toMatchObject({ unlinked: 2, blobs: 1, bytes: 100 })
    expect(await store.repositories.hasBlob(APP, layer)).toBe(false)
    expect(await store.repositories.hasBlob(OTHER, layer)).toBe(true)
    expect(await isHere(store, layer)).toBe(true)
  })

  it('keeps manifests that no tag means, what a tag means, and what a pin covers', async () => {
    const { store, clock } = await cachedStore()
    const layer = await push(store, APP, 10 * KIB, 1)
    const untagged = await putManifest(store, APP, [layer], 50)
    const tagged = await push(store, APP, 10 * KIB, 2)
    const entry = { sequence: 1, digest: tagged, envelope: bytesOf(10), confirmedAt: 1 }
    await store.tags.put(APP, parseTag('1'), entry)
    const pinned = await push(store, OTHER, 10 * KIB, 3)
    const manifest = await putManifest(store, OTHER, [pinned], 51)
    await store.pins.add({ repository: OTHER, digest: manifest, reference: 'x', at: 1 })
    await store.repositories.deleteManifest(OTHER, manifest)
    clock.now += GRACE_MS
    expect(await store.collectGarbage()).toMatchObject({ blobs: 0, unlinked: 2 })
    for (const digest of [layer, untagged, tagged, pinned, manifest]) expect(await isHere(store, digest)).toBe(true)
    await store.pins.remove(OTHER, manifest)
    expect(await store.collectGarbage()).toMatchObject({ blobs: 2 })
    expect(await isHere(store, pinned)).toBe(false)
  })

  it('keeps what a manifest names besides what it links', async () => {
    const { store, clock } = await cachedStore()
    const foreign = await push(store, APP, 10 * KIB, 1)
    const manifest = await push(store, APP, 100, 50)
    const entry = { digest: manifest, mediaType: 'm', size: 100 }
    await store.repositories.putManifest(APP, entry, [manifest], [foreign])
    clock.now += GRACE_MS
    expect(await store.collectGarbage()).toMatchObject(NOTHING)
    expect(await isHere(store, foreign)).toBe(true)
  })

  it('spares what is held or was used, however old it is', async () => {
    const { store, clock } = await cachedStore()
    const [held, used] = [await push(store, APP, KIB, 1), await push(store, APP, KIB, 2)]
    const hold = await store.leases.hold([held])
    clock.now += GRACE_MS
    await store.leases.renew([used])
    expect(await store.collectGarbage()).toMatchObject({ ...NOTHING, spared: 2 })
    hold.release()
    clock.now += GRACE_MS
    expect(await store.collectGarbage()).toMatchObject({ blobs: 2 })
  })

  it('removes nothing for the length of a lease after a start, as nobody knows what was told to clients before', async () => {
    const { store, clock, directory } = await cachedStore()
    await push(store, APP, KIB, 1)
    clock.now += GRACE_MS
    await store.close()
    const options = { leaseMs: LEASE_MS, garbageGraceMs: GRACE_MS, now: () => clock.now }
    const again = await openStore(options, directory)
    expect(await again.collectGarbage()).toMatchObject({ ...NOTHING, spared: 1 })
    clock.now += LEASE_MS
    expect(await again.collectGarbage()).toMatchObject({ blobs: 1 })
  })

  it('removes unfinished downloads that nobody goes on with', async () => {
    const { store, clock, removed } = await cachedStore()
    const source = new ManualSource()
    const bytes = bytesOf(MIB + 10, 1)
    store.downloads.fetch(digestOf(bytes), source.source).catch(() => {})
    const partial = await source.begin({ size: bytes.byteLength, cutThrough: true })
    await partial.write(0, pieceOf(bytes, 0))
    clock.now += 3 * GRACE_MS
    expect(await store.collectGarbage()).toMatchObject(NOTHING)
    source.fail(new Error('over'))
    await store.downloads.whole(digestOf(bytes)).catch(() => {})
    await expect.poll(() => store.space().usedBytes).toBe(MIB)
    expect(await store.collectGarbage({ dryRun: true })).toMatchObject({ partials: 1, bytes: MIB })
    expect(await store.collectGarbage()).toMatchObject({ partials: 1, bytes: MIB, blobs: 0 })
    expect(removed).toMatchObject([{ whole: false, reason: 'garbage' }])
    expect(store.blobs.usedBytes()).toBe(0)
  })

  it('keeps what is left of a blob that lost a piece, as long as it must be here: others may lack the rest', async () => {
    const { store, clock, directory } = await cachedStore({ retains: (repository) => repository === APP })
    const size = 3 * MIB
    const [retained, pinned, spare] = [1, 2, 3].map((seed) => digestOf(bytesOf(size, seed))) as [Digest, Digest, Digest]
    const manifests: Digest[] = []
    for (const [seed, repository] of [APP, OTHER, OTHER].entries()) {
      await push(store, repository, size, seed + 1)
      manifests.push(await putManifest(store, repository, [digestOf(bytesOf(size, seed + 1))], 50 + seed))
    }
    const [named, pin] = manifests as [Digest, Digest]
    await store.pins.add({ repository: OTHER, digest: pin, reference: 'x', at: 1 })
    for (const digest of [retained, pinned, spare]) {
      await flipBit(blobPath(directory, digest), MIB)
      expect(await store.blobs.verify(digest, async () => {})).toMatchObject({ badPieces: [1] })
    }
    clock.now += 10 * GRACE_MS
    expect(await store.collectGarbage({ dryRun: true })).toMatchObject({ partials: 1 })
    expect(await store.collectGarbage()).toMatchObject({ partials: 1, bytes: 2 * MIB })
    expect(existsSync(blobPath(directory, spare, 'partial'))).toBe(false)
    for (const digest of [retained, pinned]) expect(existsSync(blobPath(directory, digest, 'partial'))).toBe(true)
    const source = new ManualSource()
    const fetching = store.downloads.fetch(retained, source.source)
    const partial = await source.begin({ size, cutThrough: true })
    expect(partial.heldPieces).toBe(2)
    await partial.write(1, pieceOf(bytesOf(size, 1), 1))
    source.end(true)
    await fetching
    await store.downloads.whole(retained)
    await flipBit(blobPath(directory, retained), MIB)
    await store.blobs.verify(retained, async () => {})
    await store.repositories.deleteManifest(APP, named)
    await store.pins.remove(OTHER, pin)
    clock.now += 10 * GRACE_MS
    expect(await store.collectGarbage()).toMatchObject({ partials: 2 })
  })

  it('forgets what is known of blobs that are gone, and links to them that nothing names', async () => {
    const { store, clock } = await cachedStore({ maxSize: { bytes: 100 * KIB } })
    const [named, lone] = [await bring(store, 40 * KIB, 1), await bring(store, 40 * KIB, 2)]
    await store.repositories.linkBlobs(OTHER, [named, lone])
    await putManifest(store, OTHER, [named], 50)
    clock.now += LEASE_MS
    await bring(store, 90 * KIB, 3)
    expect(await isHere(store, lone)).toBe(false)
    await store.pieceMaps.put(lone, bytesOf(10))
    clock.now += GRACE_MS
    expect(await store.collectGarbage({ dryRun: true })).toMatchObject({ blobs: 1 })
    const report = await store.collectGarbage()
    expect(report.rows).toBeGreaterThan(0)
    expect(await store.repositories.hasBlob(OTHER, lone)).toBe(false)
    expect(await store.repositories.hasBlob(OTHER, named)).toBe(true)
    expect(await store.pieceMaps.get(lone)).toBeUndefined()
  })

  it('tells in a dry run what the next run does, and does nothing', async () => {
    const { store, clock, removed } = await cachedStore()
    await push(store, APP, 10 * KIB, 1)
    const shared = await push(store, APP, 20 * KIB, 2)
    await store.repositories.linkBlobs(OTHER, [shared])
    await putManifest(store, OTHER, [shared], 50)
    clock.now += GRACE_MS
    const dry = await store.collectGarbage({ dryRun: true })
    expect(dry).toMatchObject({ unlinked: 2, blobs: 1, bytes: 10 * KIB })
    expect(removed).toEqual([])
    const { rows: _dryRows, ...told } = dry
    const { rows: _rows, ...done } = await store.collectGarbage()
    expect(done).toEqual(told)
  })

  it('goes on where it ended, also after a restart', async () => {
    const { store, clock, directory } = await cachedStore()
    for (let seed = 0; seed < 90; seed++) await store.blobs.put(digestOf(bytesOf(100, seed)), bytesOf(100, seed))
    clock.now += GRACE_MS
    const options = { leaseMs: 1, garbageGraceMs: GRACE_MS, now: () => clock.now, minFree: { bytes: 0 } }
    let current = store
    let scanned = 0
    let runs = 0
    let report: GarbageReport | undefined
    while (!report?.complete) {
      const ending = new AbortController()
      const running = current.collectGarbage({ signal: ending.signal })
      const end = Math.max(0, current.blobs.count() - 30)
      while (current.blobs.count() > end) await turn()
      ending.abort()
      report = await running
      scanned += report.scanned
      runs++
      await current.close()
      clock.now += 1
      current = await openStore(options, directory)
      clock.now += 1
    }
    expect(runs).toBeGreaterThan(2)
    expect(scanned).toBe(90)
    expect(current.blobs.count()).toBe(0)
  })

  it('runs once at a time', async () => {
    const { store } = await cachedStore()
    const first = store.collectGarbage()
    await expect(store.collectGarbage()).rejects.toMatchObject({ code: 'BUSY' })
    await first
  })
})
