import { type Digest, digestOf, ownRepository, type Repository } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ManifestEntry } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'

const APP = ownRepository('team/app')
const LIBRARY = ownRepository('team/app/lib')
const OTHER = ownRepository('team/app-x')
const digests = Array.from({ length: 6 }, (_, seed) => digestOf(bytesOf(8, seed))).sort()
const [FIRST, SECOND, THIRD] = digests as [Digest, Digest, Digest]
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

function manifest(digest: Digest, more: Partial<ManifestEntry> = {}): ManifestEntry {
  return { digest, mediaType: MANIFEST, size: 10, ...more }
}

describe('repositories', () => {
  it('show the blobs that were linked, and no others', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const { repositories } = store
    expect(await repositories.exists(APP)).toBe(false)
    await repositories.linkBlobs(APP, [FIRST, SECOND])
    expect(await repositories.exists(APP)).toBe(true)
    expect(await repositories.hasBlob(APP, FIRST)).toBe(true)
    expect(await repositories.hasBlob(APP, THIRD)).toBe(false)
    expect(await repositories.hasBlob(LIBRARY, FIRST)).toBe(false)
    await store.close()
    const again = await openStore({}, directory)
    expect(await again.repositories.hasBlob(APP, SECOND)).toBe(true)
  })

  it('unlink a blob in one and keep it in the others', async () => {
    const { repositories } = await openStore()
    await repositories.linkBlobs(APP, [FIRST])
    await repositories.linkBlobs(OTHER, [FIRST])
    expect(await repositories.unlinkBlob(APP, FIRST)).toBe(true)
    expect(await repositories.unlinkBlob(APP, FIRST)).toBe(false)
    expect(await repositories.hasBlob(APP, FIRST)).toBe(false)
    expect(await repositories.hasBlob(OTHER, FIRST)).toBe(true)
  })

  it('find another one that has a blob', async () => {
    const { repositories } = await openStore()
    expect(await repositories.findBlob(FIRST)).toBeUndefined()
    await repositories.linkBlobs(APP, [FIRST])
    expect(await repositories.findBlob(FIRST)).toBe(APP)
    expect(await repositories.findBlob(FIRST, APP)).toBeUndefined()
    await repositories.linkBlobs(OTHER, [FIRST])
    expect(await repositories.findBlob(FIRST, APP)).toBe(OTHER)
    expect(await repositories.findBlob(FIRST, OTHER)).toBe(APP)
    await repositories.unlinkBlob(OTHER, FIRST)
    expect(await repositories.findBlob(FIRST, APP)).toBeUndefined()
  })

  it('add a manifest and link its blobs in one step', async () => {
    const { repositories } = await openStore()
    const entry = manifest(FIRST, { artifactType: 'a/b', annotations: { 'org.example': 'x' }, size: 17 })
    await repositories.putManifest(APP, entry, [SECOND, THIRD])
    expect(await repositories.manifest(APP, FIRST)).toEqual(entry)
    expect(await repositories.manifest(LIBRARY, FIRST)).toBeUndefined()
    expect(await repositories.hasBlob(APP, SECOND)).toBe(true)
    expect(await repositories.hasBlob(APP, THIRD)).toBe(true)
    expect(await repositories.manifests(APP)).toEqual([entry])
    expect(await repositories.manifests(LIBRARY)).toEqual([])
    expect(await repositories.deleteManifest(APP, FIRST)).toBe(true)
    expect(await repositories.deleteManifest(APP, FIRST)).toBe(false)
    expect(await repositories.manifest(APP, FIRST)).toBeUndefined()
    expect(await repositories.exists(APP)).toBe(true)
  })

  it('list what refers to a manifest in the order of digests, in one repository', async () => {
    const { repositories } = await openStore()
    const [subject, ...others] = digests
    if (subject === undefined) return expect.unreachable()
    const entries = others.map((digest) =>
      manifest(digest, { subject, artifactType: 'x/y', annotations: { name: digest } })
    )
    for (const entry of entries.toReversed()) await repositories.putManifest(APP, entry, [])
    await repositories.putManifest(LIBRARY, manifest(subject, { subject: FIRST }), [])
    const expected = entries.map(({ subject: _, ...descriptor }) => descriptor)
    expect(await repositories.referrers(APP, subject)).toEqual(expected)
    expect(await repositories.referrers(OTHER, subject)).toEqual([])
    await repositories.deleteManifest(APP, SECOND)
    expect(await repositories.referrers(APP, subject)).toEqual(expected.slice(1))
  })

  it('move a manifest among the referrers when it comes again with another subject', async () => {
    const { repositories } = await openStore()
    await repositories.putManifest(APP, manifest(FIRST, { subject: SECOND }), [])
    await repositories.putManifest(APP, manifest(FIRST, { subject: THIRD }), [])
    expect(await repositories.referrers(APP, SECOND)).toEqual([])
    expect(await repositories.referrers(APP, THIRD)).toHaveLength(1)
  })

  it('are paged in ASCII order, each once, whatever their names', async () => {
    const names = fc.uniqueArray(
      fc.stringMatching(/^[a-z0-9]{1,2}([._/-][a-z0-9]{1,2}){0,2}$/).filter((name) => !name.includes('..')),
      { minLength: 1, maxLength: 12 }
    )
    const store = await openStore()
    const known = new Set<string>()
    await fc.assert(
      fc.asyncProperty(names, fc.integer({ min: 1, max: 5 }), fc.string(), async (some, limit, after) => {
        for (const name of some) {
          known.add(name)
          await store.repositories.linkBlobs(name as Repository, [])
        }
        const sorted = [...known].sort()
        const paged: string[] = []
        for (;;) {
          const last = paged.at(-1)
          const page = await store.repositories.list({ limit, ...(last === undefined ? {} : { after: last }) })
          paged.push(...page)
          if (page.length < limit) break
        }
        expect(paged).toEqual(sorted)
        const later = sorted.filter((name) => Buffer.compare(Buffer.from(name), Buffer.from(after)) > 0)
        expect(await store.repositories.list({ after, limit })).toEqual(later.slice(0, limit))
      }),
      { numRuns: 40 }
    )
  })

  it('list nothing when nothing is asked for', async () => {
    const { repositories } = await openStore()
    await repositories.linkBlobs(APP, [])
    expect(await repositories.list({ limit: 0 })).toEqual([])
    expect(await repositories.list({ limit: -1 })).toEqual([])
  })
})
