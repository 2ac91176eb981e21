import { stat } from 'node:fs/promises'
import { type Digest, digestOf, mirroredRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { bytesOf, chunksOf, collect, MIB, pieceOf, whole } from '../testing/bytes.ts'
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
import { blobPath, openStore, PATIENT } from '../testing/stores.ts'

const QUOTA = { maxSize: { bytes: 1000 * KIB }, highWatermark: 0.9, lowWatermark: 0.6 } as const
const HUB = mirroredRepository('docker.io', 'library/nginx')

/** Fills most of the quota with blobs whose leases are over. */
async function filled(options: Parameters<typeof cachedStore>[0] = {}) {
  const cached = await cachedStore({ ...QUOTA, ...options })
  const digests: Digest[] = []
  for (let seed = 0; seed < 4; seed++) {
    digests.push(await bring(cached.store, 200 * KIB, seed))
    cached.clock.now += 10
  }
  cached.clock.now += LEASE_MS
  const [a, b, c, d] = digests as [Digest, Digest, Digest, Digest]
  return { ...cached, a, b, c, d }
}

describe('a quota', () => {
  it('is kept by removing what was not used for longest, down to the low watermark', async () => {
    const { store, clock, removed, a, b, c, d } = await filled()
    await store.blobs.open(a)
    clock.now += LEASE_MS
    const e = await bring(store, 300 * KIB, 5)
    await expect.poll(() => removed.length).toBe(3)
    expect(removed).toEqual([b, c, d].map((digest) => ({ digest, bytes: 200 * KIB, reason: 'quota', whole: true })))
    expect(await isHere(store, a)).toBe(true)
    expect(await isHere(store, e)).toBe(true)
    expect(store.blobs.usedBytes()).toBe(500 * KIB)
    expect(store.space()).toMatchObject({ limitBytes: 1000 * KIB, usedBytes: 500 * KIB, full: false })
  })

  it('knows after a restart what was used last', async () => {
    const { store, clock, a, b, directory } = await filled()
    await store.blobs.open(a)
    await store.close()
    clock.now += LEASE_MS
    const again = await openStore(
      { ...QUOTA, leaseMs: LEASE_MS, minFree: { bytes: 0 }, now: () => clock.now },
      directory
    )
    await bring(again, 300 * KIB, 5)
    expect(await isHere(again, a)).toBe(true)
    expect(await isHere(again, b)).toBe(false)
  })

  it('has bytes go and links stay, with all that is known of the bytes', async () => {
    const { store, clock, a, directory } = await filled()
    await store.repositories.linkBlobs(HUB, [a])
    await store.pieceMaps.put(a, bytesOf(10))
    clock.now += LEASE_MS
    for (const seed of [5, 6, 7]) {
      await bring(store, 300 * KIB, seed)
      clock.now += LEASE_MS
    }
    expect(await isHere(store, a)).toBe(false)
    await expect(stat(blobPath(directory, a))).rejects.toThrow('ENOENT')
    expect(await store.pieceMaps.get(a)).toBeUndefined()
    expect(await store.repositories.hasBlob(HUB, a)).toBe(true)
    expect(await bring(store, 200 * KIB, 0)).toBe(a)
  })

  it('refuses what does not fit while all is leased, tells once, and takes it when the leases are over', async () => {
    const { store, clock, full, a, b, c, d } = await filled()
    await store.leases.renew([a, b, c, d])
    for (const seed of [5, 6]) {
      const refused = bring(store, 300 * KIB, seed)
      await expect(refused).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED', cause: { code: 'DISK_FULL' } })
      clock.now += 1
    }
    expect(full).toEqual([true])
    expect(store.space().full).toBe(true)
    clock.now += LEASE_MS + 2000
    await bring(store, 300 * KIB, 5)
    expect(full).toEqual([true, false])
  })

  it('refuses what could never fit, and removes nothing for it', async () => {
    const { store, removed, full } = await filled()
    await expect(bring(store, 1001 * KIB, 5)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    expect(removed).toEqual([])
    expect(full).toEqual([])
  })

  it('counts what was promised to downloads that run', async () => {
    const { store } = await cachedStore(QUOTA)
    const source = new ManualSource()
    const bytes = bytesOf(800 * KIB)
    store.downloads.fetch(digestOf(bytes), source.source).catch(() => {})
    const partial = await source.begin({ size: 800 * KIB, cutThrough: true })
    expect(store.space().usedBytes).toBe(800 * KIB)
    expect(store.blobs.usedBytes()).toBe(0)
    await expect(bring(store, 300 * KIB, 5)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    await partial.write(0, bytes)
    source.end(true)
    await store.downloads.whole(digestOf(bytes))
    expect(store.space().usedBytes).toBe(800 * KIB)
  })

  it('counts pushes, and makes room for them', async () => {
    const { store, removed } = await filled()
    const upload = await store.uploads.create(APP)
    await upload.append(chunksOf(bytesOf(300 * KIB, 5)))
    expect(removed.length).toBeGreaterThan(0)
    expect(store.space().usedBytes).toBeLessThanOrEqual(1000 * KIB)
    expect(store.space().usedBytes - store.blobs.usedBytes()).toBe(300 * KIB)
  })

  it('can be a share of the disk', async () => {
    const { store, disk } = await cachedStore({ maxSize: { share: 0.5 } })
    disk.totalBytes = 2000 * KIB
    await bring(store, 400 * KIB, 1)
    expect(store.space().limitBytes).toBe(1000 * KIB)
    await expect(bring(store, 700 * KIB, 2)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
  })
})

describe('what is never removed to make room', () => {
  it('is what is being read', async () => {
    const { store, clock, a, b } = await filled()
    const reader = await store.blobs.open(a)
    if (reader === undefined) return expect.unreachable()
    const reading = reader.read(whole(reader))[Symbol.asyncIterator]()
    const first = await reading.next()
    clock.now += 10 * LEASE_MS
    await bring(store, 300 * KIB, 5)
    expect(await isHere(store, a)).toBe(true)
    expect(await isHere(store, b)).toBe(false)
    expect(first.value?.byteLength).toBe(200 * KIB)
    await reading.return?.()
  })

  it('is what a pin covers, also when it comes after the pin', async () => {
    const { store, clock, a, d } = await filled()
    const manifest = await putManifest(store, HUB, [a, d], 50)
    await store.pins.add({ repository: HUB, digest: manifest, reference: 'nginx', at: 1 })
    const late = await bring(store, 100 * KIB, 9)
    clock.now += 10 * LEASE_MS
    await bring(store, 300 * KIB, 5)
    clock.now += 10 * LEASE_MS
    await bring(store, 300 * KIB, 6)
    for (const digest of [a, d, manifest]) expect(await isHere(store, digest)).toBe(true)
    expect(await isHere(store, late)).toBe(false)
    expect(await store.pins.bytes()).toBe(400 * KIB + 100)
    expect(await store.pins.remove(HUB, manifest)).toBe(true)
    for (const seed of [7, 8]) {
      clock.now += 10 * LEASE_MS
      await bring(store, 500 * KIB, seed)
    }
    expect(await isHere(store, a)).toBe(false)
  })

  it('is what a repository holds that this node retains', async () => {
    const { store, clock, a, b } = await filled({ retains: (repository) => repository === APP })
    await store.repositories.linkBlobs(APP, [a])
    await store.repositories.linkBlobs(HUB, [a, b])
    clock.now += 10 * GRACE_MS
    await bring(store, 300 * KIB, 5)
    clock.now += 10 * GRACE_MS
    await bring(store, 400 * KIB, 6)
    expect(await isHere(store, a)).toBe(true)
    expect(await isHere(store, b)).toBe(false)
  })

  it('is what a client brought, until a manifest with it was taken, or nobody cares any more', async () => {
    const { store, clock } = await cachedStore(QUOTA)
    const [taken, waiting] = [await push(store, APP, 200 * KIB, 1), await push(store, APP, 200 * KIB, 2)]
    await putManifest(store, APP, [taken], 50)
    clock.now += GRACE_MS - 1
    await bring(store, 600 * KIB, 3)
    expect(await isHere(store, taken)).toBe(false)
    expect(await isHere(store, waiting)).toBe(true)
    clock.now += GRACE_MS
    await bring(store, 300 * KIB, 4)
    expect(await isHere(store, waiting)).toBe(false)
  })

  it('is what a client brought to one repository while a manifest of another with it was taken', async () => {
    const { store, clock } = await cachedStore(QUOTA)
    const layer = await push(store, APP, 100 * KIB, 9)
    await push(store, OTHER, 100 * KIB, 9)
    await putManifest(store, OTHER, [layer], 50)
    clock.now += LEASE_MS
    const large = await bring(store, 850 * KIB, 5)
    // What finds no room has waited until all is gone that can be spared.
    await expect(bring(store, 200 * KIB, 6)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    expect(await isHere(store, layer)).toBe(true)
    await putManifest(store, APP, [layer], 51)
    await store.blobs.delete(large)
    clock.now += 10 * LEASE_MS
    await bring(store, 850 * KIB, 5)
    await expect(bring(store, 200 * KIB, 6)).rejects.toMatchObject({ cause: { code: 'DISK_FULL' } })
    expect(await isHere(store, layer)).toBe(false)
  })

  it('is what was mounted for a client', async () => {
    const { store, clock, a, b } = await filled()
    await store.repositories.linkBlobs(HUB, [a])
    expect(await store.repositories.mountBlob(APP, a)).toBe(true)
    clock.now += GRACE_MS - 1
    await bring(store, 300 * KIB, 5)
    expect(await isHere(store, a)).toBe(true)
    expect(await isHere(store, b)).toBe(false)
  })
})

describe('unfinished downloads', () => {
  it('make room when they were not used for longest, and not while they run', async () => {
    const { store, clock, removed } = await cachedStore({ ...QUOTA, maxSize: { bytes: 4 * MIB } })
    const [broken, running] = [new ManualSource(), new ManualSource()]
    const [first, second] = [bytesOf(MIB + 10, 1), bytesOf(MIB + 10, 2)]
    for (const [source, bytes] of [
      [broken, first],
      [running, second]
    ] as const) {
      store.downloads.fetch(digestOf(bytes), source.source).catch(() => {})
      const partial = await source.begin({ size: bytes.byteLength, cutThrough: true })
      await partial.write(0, pieceOf(bytes, 0))
    }
    broken.fail(new Error('gone'))
    await store.downloads.whole(digestOf(first)).catch(() => {})
    clock.now += LEASE_MS
    await expect.poll(() => store.downloads.inFlight(digestOf(first))).toBeUndefined()
    await bring(store, 2 * MIB, 3)
    expect(removed).toEqual([{ digest: digestOf(first), bytes: MIB, reason: 'quota', whole: false }])
    running.fail(new Error('over'))
  })
})

describe('the space that is kept free', () => {
  /** A disk of which the store has 800 KiB, with less free than is to be; a lease is over. */
  async function scarce() {
    const scarce: boolean[] = []
    const onScarce = (isScarce: boolean) => scarce.push(isScarce)
    const given = await cachedStore({ keepFree: { share: 0.2 }, tendMs: 1, onScarce })
    const digests: Digest[] = []
    for (let seed = 0; seed < 4; seed++) {
      digests.push(await bring(given.store, 200 * KIB, seed))
      given.clock.now += 10
    }
    given.clock.now += LEASE_MS
    given.disk.totalBytes = 10_000 * KIB
    const [a, b, c, d] = digests as [Digest, Digest, Digest, Digest]
    return { ...given, scarce, a, b, c, d }
  }

  it('has what was not used for longest go, and a little more, without a write', async () => {
    const { store, clock, disk, removed, scarce: told, a, b, c } = await scarce()
    disk.freeBytes = 1_900 * KIB
    clock.now += 1
    await expect.poll(() => removed.length, PATIENT).toBe(2)
    expect(removed).toMatchObject([
      { digest: a, reason: 'floor' },
      { digest: b, reason: 'floor' }
    ])
    expect(await isHere(store, c)).toBe(true)
    expect(told).toEqual([])
  })

  it('is no bound for what is written, and is told of once when nothing more can be spared', async () => {
    const { store, clock, disk, removed, scarce: told } = await scarce()
    disk.freeBytes = 500 * KIB
    await expect.poll(() => told, PATIENT).toEqual([true])
    expect(removed).toHaveLength(4)
    const late = await bring(store, 300 * KIB, 5)
    expect(await isHere(store, late)).toBe(true)
    clock.now += 300_000
    await expect.poll(() => isHere(store, late), PATIENT).toBe(false)
    disk.freeBytes = 5_000 * KIB
    await expect.poll(() => told, PATIENT).toEqual([true, false])
  })

  it('does not have all blobs gone through again and again when nothing can be spared', async () => {
    const { store, clock, disk, removed, scarce: told } = await scarce()
    disk.freeBytes = 500 * KIB
    await expect.poll(() => told, PATIENT).toEqual([true])
    const late = await bring(store, 100 * KIB, 5)
    clock.now += 299_000
    const { checks } = disk
    await expect.poll(() => disk.checks, PATIENT).toBeGreaterThan(checks + 2)
    expect(await isHere(store, late)).toBe(true)
    expect(removed).toHaveLength(4)
  })
})

describe('the floor', () => {
  it('is kept by making room, before anything is refused', async () => {
    const { store, clock, disk, removed } = await cachedStore({ minFree: { bytes: 500 * KIB } })
    disk.freeBytes = 1200 * KIB
    const a = await bring(store, 400 * KIB, 1)
    clock.now += LEASE_MS
    await bring(store, 500 * KIB, 2)
    expect(removed).toMatchObject([{ digest: a, reason: 'floor' }])
  })

  it('is kept in the middle of a download too; what can not be had is cut, and the rest is not lost', async () => {
    const { store, clock, disk } = await cachedStore({ minFree: { bytes: MIB } })
    const spare = await bring(store, MIB, 1)
    clock.now += LEASE_MS
    const source = new ManualSource()
    const bytes = bytesOf(3 * MIB, 2)
    store.downloads.fetch(digestOf(bytes), source.source).catch(() => {})
    const partial = await source.begin({ size: 3 * MIB, cutThrough: true })
    disk.freeBytes = 1.5 * MIB
    clock.now += 1000
    await partial.write(0, pieceOf(bytes, 0))
    expect(await isHere(store, spare)).toBe(false)
    disk.freeBytes = MIB
    clock.now += 3000
    await expect(partial.write(1, pieceOf(bytes, 1))).rejects.toMatchObject({ code: 'DISK_FULL' })
    source.fail(new Error('full'))
    disk.freeBytes = 100 * MIB
    clock.now += 3000
    expect(await bring(store, 3 * MIB, 2)).toBe(digestOf(bytes))
    const reader = await store.blobs.open(digestOf(bytes))
    expect(reader && Buffer.compare(await collect(reader.read(whole(reader))), bytes)).toBe(0)
  })
})
