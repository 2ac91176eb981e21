import { digestOf, ownRepository, parseTag, type Repository, type Tag } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TagEntry, TagHistoryEntry } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'

const APP = ownRepository('team/app')
const LATEST = parseTag('latest')
const ONE = digestOf(bytesOf(8, 1))
const OTHER = digestOf(bytesOf(8, 2))

function entry(sequence: number, more: Partial<TagEntry> = {}): TagEntry {
  return { sequence, digest: ONE, envelope: bytesOf(20, sequence), confirmedAt: 1, ...more }
}

function tombstone(sequence: number): TagEntry {
  return { sequence, envelope: bytesOf(20, sequence), confirmedAt: 1 }
}

function change(sequence: number, more: Partial<TagHistoryEntry> = {}): TagHistoryEntry {
  return { sequence, at: sequence, digest: ONE, actor: 'alice', node: 'node', signer: 'seed', ...more }
}

describe('the history of a tag', () => {
  it('is kept with each change, newest first, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await store.tags.put(APP, LATEST, entry(1), { history: change(1) })
    await store.tags.put(APP, LATEST, entry(2, { digest: OTHER }), { history: change(2, { previous: ONE }) })
    await store.tags.put(APP, LATEST, entry(3, { digest: OTHER }))
    await store.tags.put(APP, parseTag('latest-1'), entry(9), { history: change(9) })
    await store.close()
    const { tags } = await openStore({}, directory)
    expect(await tags.history(APP, LATEST, { limit: 10 })).toEqual([change(2, { previous: ONE }), change(1)])
    expect(await tags.history(APP, LATEST, { limit: 10, before: 2 })).toEqual([change(1)])
    expect(await tags.history(APP, LATEST, { limit: 1 })).toEqual([change(2, { previous: ONE })])
  })

  it('does not grow by what was refused', async () => {
    const { tags } = await openStore()
    await tags.put(APP, LATEST, entry(5), { history: change(5) })
    await tags.put(APP, LATEST, entry(4), { history: change(4) })
    await tags.put(APP, LATEST, entry(5, { envelope: bytesOf(20, 99) }), { history: change(5, { signer: 'other' }) })
    await tags.put(APP, LATEST, entry(5), { history: change(5) })
    expect(await tags.history(APP, LATEST, { limit: 10 })).toEqual([change(5)])
  })

  it('drops the oldest beyond its bound', async () => {
    const { tags } = await openStore({ maxTagHistory: 3 })
    for (let sequence = 1; sequence <= 10; sequence++)
      await tags.put(APP, LATEST, entry(sequence), { history: change(sequence) })
    const kept = await tags.history(APP, LATEST, { limit: 10 })
    expect(kept.map(({ sequence }) => sequence)).toEqual([10, 9, 8])
  })
})

describe('tags', () => {
  it('let an entry that nobody believes give way to a lower sequence, and no other entry', async () => {
    const { tags } = await openStore()
    await tags.put(APP, LATEST, entry(900))
    expect(await tags.put(APP, LATEST, entry(7), { replaces: entry(800).envelope })).toBe('older')
    expect(await tags.put(APP, LATEST, entry(7), { replaces: entry(900).envelope })).toBe('stored')
    expect(await tags.get(APP, LATEST)).toEqual(entry(7))
    expect(await tags.put(APP, LATEST, entry(6), { replaces: entry(900).envelope })).toBe('older')
  })

  it('are kept as they were put, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    expect(await store.tags.get(APP, LATEST)).toBeUndefined()
    expect(await store.tags.put(APP, LATEST, entry(3))).toBe('stored')
    await store.close()
    const { tags } = await openStore({}, directory)
    expect(await tags.get(APP, LATEST)).toEqual(entry(3))
  })

  it('never go back to a lower sequence, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await store.tags.put(APP, LATEST, entry(5))
    expect(await store.tags.put(APP, LATEST, entry(4))).toBe('older')
    await store.tags.put(APP, LATEST, tombstone(6))
    await store.close()
    const { tags } = await openStore({}, directory)
    expect(await tags.put(APP, LATEST, entry(5))).toBe('older')
    expect(await tags.get(APP, LATEST)).toEqual(tombstone(6))
  })

  it('tell a conflict when two statements have the same sequence', async () => {
    const { tags } = await openStore()
    await tags.put(APP, LATEST, entry(5))
    expect(await tags.put(APP, LATEST, entry(5, { envelope: bytesOf(20, 99), digest: OTHER }))).toBe('conflict')
    expect(await tags.get(APP, LATEST)).toEqual(entry(5))
  })

  it('note when the same statement was confirmed last', async () => {
    const { tags } = await openStore()
    await tags.put(APP, LATEST, entry(5, { confirmedAt: 100 }))
    expect(await tags.put(APP, LATEST, entry(5, { confirmedAt: 200 }))).toBe('stored')
    expect(await tags.put(APP, LATEST, entry(5, { confirmedAt: 150 }))).toBe('stored')
    expect((await tags.get(APP, LATEST))?.confirmedAt).toBe(200)
  })

  it('end at the highest sequence when many come at once', async () => {
    const { tags } = await openStore()
    const sequences = [7, 3, 9, 1, 8, 2, 6, 5, 4]
    await Promise.all(sequences.map((sequence) => tags.put(APP, LATEST, entry(sequence))))
    expect(await tags.get(APP, LATEST)).toEqual(entry(9))
  })

  it('are listed without tombstones and with regard to case', async () => {
    const { tags, repositories } = await openStore()
    for (const tag of ['b', 'B', 'a', '_', '9']) await tags.put(APP, parseTag(tag), entry(1))
    await tags.put(APP, parseTag('a'), tombstone(2))
    await tags.put(ownRepository('team/app/sub'), parseTag('z'), entry(1))
    await tags.put(ownRepository('team'), parseTag('y'), entry(1))
    expect(await tags.list(APP, { limit: 10 })).toEqual(['9', 'B', '_', 'b'])
    expect(await tags.list(APP, { limit: 2, after: 'A' })).toEqual(['B', '_'])
    expect(await tags.list(APP, { limit: 0 })).toEqual([])
    expect(await repositories.exists(APP)).toBe(true)
  })

  it('tell which of them mean a digest', async () => {
    const { tags } = await openStore()
    for (const tag of ['v1', 'v1.0', 'latest']) await tags.put(APP, parseTag(tag), entry(1))
    await tags.put(APP, LATEST, entry(2, { digest: OTHER }))
    await tags.put(APP, parseTag('v1.0'), tombstone(2))
    expect(await tags.pointingAt(APP, ONE)).toEqual(['v1'])
    expect(await tags.pointingAt(APP, OTHER)).toEqual(['latest'])
    expect(await tags.pointingAt(ownRepository('team'), ONE)).toEqual([])
  })

  it('behave like a sorted map, whatever is done to them', async () => {
    const repositories = ['a', 'a/b', 'a-b', 'docker.io/library/a'] as Repository[]
    const tagNames = ['1', 'A', 'Z', '_', 'a', 'a.b', 'a-b', 'b', 'latest', 'z'].sort() as Tag[]
    const change = fc.record({
      repository: fc.constantFrom(...repositories),
      tag: fc.constantFrom(...tagNames),
      sequence: fc.integer({ min: 1, max: 5 }),
      digest: fc.constantFrom(ONE, OTHER, undefined)
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(...tagNames, '', '~', 'a\0'),
        async (changes, limit, after) => {
          const store = await openStore()
          const model = new Map<string, TagEntry>()
          for (const { repository, tag, sequence, digest } of changes) {
            const meaning = digest === undefined ? {} : { digest }
            const envelope = Buffer.from(`${sequence}${digest}`)
            const put: TagEntry = { sequence, ...meaning, envelope: new Uint8Array(envelope), confirmedAt: 1 }
            const here = model.get(`${repository} ${tag}`)
            const expected = outcome(here, put)
            expect(await store.tags.put(repository, tag, put)).toBe(expected)
            if (expected === 'stored') model.set(`${repository} ${tag}`, put)
          }
          for (const repository of repositories) {
            const live = tagNames.filter((tag) => model.get(`${repository} ${tag}`)?.digest !== undefined)
            const page = live.filter((tag) => tag > after).slice(0, limit)
            expect(await store.tags.list(repository, { after, limit })).toEqual(page)
            expect(await store.tags.list(repository, { limit: 100 })).toEqual(live)
            for (const digest of [ONE, OTHER]) {
              const meant = live.filter((tag) => model.get(`${repository} ${tag}`)?.digest === digest)
              expect(await store.tags.pointingAt(repository, digest)).toEqual(meant)
            }
          }
          const all = new Map<string, TagEntry>()
          for await (const { repository, tag, ...rest } of store.tags.all()) all.set(`${repository} ${tag}`, rest)
          expect(all).toEqual(model)
          const apart = new Map<string, TagEntry>()
          for (const repository of repositories)
            for await (const { tag, ...rest } of store.tags.of(repository)) apart.set(`${repository} ${tag}`, rest)
          expect(apart).toEqual(model)
          await store.close()
        }
      ),
      { numRuns: 30 }
    )
  })
})

function outcome(here: TagEntry | undefined, put: TagEntry): 'stored' | 'older' | 'conflict' {
  if (here === undefined || here.sequence < put.sequence) return 'stored'
  if (here.sequence > put.sequence) return 'older'
  return Buffer.compare(here.envelope, put.envelope) === 0 ? 'stored' : 'conflict'
}
