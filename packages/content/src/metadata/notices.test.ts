import { describe, expect, it } from 'vitest'
import type { NoticeEntry } from '../interfaces.ts'
import { bytesOf } from '../testing/bytes.ts'
import { openStore, temporaryDirectory } from '../testing/stores.ts'

const entry = (sequence: number, signer = 'a', kind = 'roster'): NoticeEntry => ({
  kind,
  signer,
  sequence,
  envelope: bytesOf(20, sequence),
  keptAt: sequence
})

describe('notices', () => {
  it('are kept as they were put, one of each kind and signer, also after a restart', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    const entries = [entry(3), entry(1, 'b'), entry(2, 'a', 'seed-set')]
    for (const one of entries) expect(await store.notices.put(one)).toBe('stored')
    await store.close()
    const { notices } = await openStore({}, directory)
    expect(await notices.get('roster', 'a')).toEqual(entry(3))
    expect(await notices.get('roster', 'c')).toBeUndefined()
    const all: NoticeEntry[] = []
    for await (const one of notices.all()) all.push(one)
    expect(all).toEqual(entries)
  })

  it('never go back, also after a restart, and keep the first of a sequence', async () => {
    const directory = await temporaryDirectory()
    const store = await openStore({}, directory)
    await store.notices.put(entry(5))
    expect(await store.notices.put(entry(4))).toBe('known')
    await store.close()
    const { notices } = await openStore({}, directory)
    expect(await notices.put(entry(4))).toBe('known')
    expect(await notices.put({ ...entry(5), envelope: bytesOf(20, 99) })).toBe('known')
    expect(await notices.get('roster', 'a')).toEqual(entry(5))
  })

  it('end at the highest sequence when many come at once', async () => {
    const { notices } = await openStore()
    await Promise.all([7, 3, 9, 1, 8, 2, 6].map((sequence) => notices.put(entry(sequence))))
    expect(await notices.get('roster', 'a')).toEqual(entry(9))
  })
})
