import { digestOf, MEDIA_TYPE, ownRepository, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { type SeedSet, sealSeedSet, sealTagRecord, TrustPolicy } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import { SignedNoticeBoard } from '../notices/notice-board.ts'
import { MemoryTags } from '../testing/memory-tags.ts'
import { MemoryNotices, makeIdentity } from '../testing/notices.ts'
import { makeSeed } from '../testing/tag-seeds.ts'
import { SeedSetWatch } from './seed-set-watch.ts'
import { SeedSets } from './seed-sets.ts'

const NOW = 1_800_000_000_000
const DAY = 24 * 3_600_000
const repository = ownRepository('team/app')
const [v1, latest] = [parseTag('v1'), parseTag('latest')]
const author = { caller: OPEN_CALLER, node: 'node' }
const manifest = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  mediaType: MEDIA_TYPE.ociManifest,
  size: text.length
})
const [root, stranger, oldSeed, newSeed] = await Promise.all([
  makeIdentity(),
  makeIdentity(),
  makeIdentity(),
  makeIdentity()
])

let now: number
beforeEach(() => {
  now = NOW
})

function seal(sequence: number, change: Partial<SeedSet> = {}, by = root): Promise<Uint8Array> {
  const set = { sequence, issuedAt: NOW, expiresAt: NOW + 365 * DAY, seeds: [], revoked: [], ...change }
  return sealSeedSet(set, by.privateKey)
}

const everything = ({ peerId }: { peerId: string }) => ({ peerId, repositories: ['**'] })

/** A node that knows of seeds by seed sets, started over what is on its disk. */
async function start(store = new MemoryNotices(), trust = new TrustPolicy([], () => now)) {
  const seedSets = new SeedSets({ root: root.peerId, trust })
  const outcomes: string[] = []
  const board = new SignedNoticeBoard({
    store,
    kinds: [seedSets.kind],
    onOutcome: ({ outcome, reason }) => outcomes.push(reason ?? outcome),
    now: () => now
  })
  await board.load()
  return { seedSets, trust, store, outcomes, publish: (set: Uint8Array) => board.offer('seed-set', set, 'peer') }
}

describe('a seed set', () => {
  it('has those count that it names, on the same policy, at once and after a restart', async () => {
    const node = await start()
    expect(node.trust.maySign(newSeed.peerId, repository)).toBe(false)
    expect(await node.publish(await seal(1, { seeds: [everything(newSeed)] }))).toBe('new')
    expect(node.trust.signersFor(repository)).toEqual([newSeed.peerId])
    expect((await start(node.store)).trust.signersFor(repository)).toEqual([newSeed.peerId])
  })

  it('never gives way to an older one, also not after a restart', async () => {
    const node = await start()
    await node.publish(await seal(2, { revoked: [oldSeed.peerId] }))
    expect(await node.publish(await seal(1, { seeds: [everything(oldSeed)] }))).toBe('known')
    const again = await start(node.store)
    expect(await again.publish(await seal(1, { seeds: [everything(oldSeed)] }))).toBe('known')
    expect(again.trust.signers()).toEqual([])
  })

  it('is refused when another key than the root signed it', async () => {
    const node = await start()
    expect(await node.publish(await seal(1, { seeds: [everything(stranger)] }, stranger))).toBe('refused')
    expect(node.trust.signers()).toEqual([])
  })

  it('goes on to count when it expires where it was known, and makes nobody trusted where it comes too late', async () => {
    const set = await seal(1, { seeds: [everything(newSeed)], revoked: [oldSeed.peerId] })
    const node = await start()
    await node.publish(set)
    now += 400 * DAY
    expect(node.trust.signers()).toEqual([newSeed.peerId])
    expect((await start(node.store)).trust.signers()).toEqual([newSeed.peerId])

    const late = await start(undefined, new TrustPolicy([{ peerId: oldSeed.peerId }], () => now))
    expect(await late.publish(set)).toBe('new')
    expect(late.trust.signers()).toEqual([])
    expect((await start(late.store)).trust.signers()).toEqual([])
  })
})

describe('rotation by seed sets', () => {
  /** Two nodes of which each hears at once what the other signs. */
  async function twoSeeds() {
    const trust = new TrustPolicy([], () => now)
    const node = await start(undefined, trust)
    const older = makeSeed(oldSeed.privateKey, { trust, now: () => now })
    const newer = makeSeed(newSeed.privateKey, { trust, now: () => now, tags: new MemoryTags() })
    return { ...node, older, newer }
  }

  it('has the new seed sign anew all that a retiring one signed, so that it outlives it', async () => {
    const { publish, older, newer, trust } = await twoSeeds()
    await publish(await seal(1, { seeds: [everything(oldSeed), everything(newSeed)] }))
    for (const tag of [v1, latest]) {
      const envelope = await older.authority.set(repository, tag, manifest('a'), author)
      await newer.records.take(envelope, oldSeed.peerId, 'signer')
    }
    await newer.authority.renewOld()
    expect((await newer.records.get(repository, v1))?.signer).toBe(oldSeed.peerId)

    await publish(await seal(2, { seeds: [{ ...everything(oldSeed), notAfter: NOW + DAY }, everything(newSeed)] }))
    await newer.authority.renewOld()
    now += DAY
    expect(older.authority.isAuthority(repository)).toBe(false)
    expect(await older.records.get(repository, v1)).toBeUndefined()
    for (const tag of [v1, latest]) {
      expect(await newer.records.get(repository, tag)).toMatchObject({ signer: newSeed.peerId, record: manifest('a') })
    }
    // The old one hears of it as any node does.
    for (const envelope of newer.published) await older.records.take(envelope, newSeed.peerId, 'signer')
    expect((await older.records.get(repository, v1))?.signer).toBe(newSeed.peerId)
    expect(trust.signers()).toEqual([newSeed.peerId])
  })

  it('has a revoked seed sign nothing, nothing that it signed count, and its tags come back from the history', async () => {
    const { publish, older, newer } = await twoSeeds()
    await publish(await seal(1, { seeds: [everything(oldSeed), everything(newSeed)] }))
    const good = await older.authority.set(repository, latest, manifest('good'), author)
    await newer.records.take(good, oldSeed.peerId, 'signer')
    const evil = await older.authority.set(repository, latest, manifest('evil'), author)
    await newer.records.take(evil, oldSeed.peerId, 'signer')

    await publish(await seal(2, { seeds: [everything(newSeed)], revoked: [oldSeed.peerId] }))
    expect(older.authority.isAuthority(repository)).toBe(false)
    expect(await newer.records.get(repository, latest)).toBeUndefined()
    expect(await newer.records.take(evil, 'anybody', 'hearsay')).toBeUndefined()
    expect(newer.refused).toContain('signer_not_trusted')

    const [, before] = await newer.tags.history(repository, latest, { limit: 9 })
    expect(before?.digest).toBe(manifest('good').digest)
    await newer.authority.restore(repository, latest, manifest('good'), author)
    expect(await newer.records.get(repository, latest)).toMatchObject({
      signer: newSeed.peerId,
      record: manifest('good')
    })
  })

  it.each([2 ** 53 - 1, 2 ** 51 - 1])(
    'leaves numbers to others, however high a revoked seed counted: %d',
    async (sequence) => {
      const { publish, older, newer } = await twoSeeds()
      await publish(await seal(1, { seeds: [everything(oldSeed), everything(newSeed)] }))
      const poison = await sealTagRecord(
        { repository, tag: latest, sequence, issuedAt: now, expiresAt: now + DAY, ...manifest('evil') },
        oldSeed.privateKey
      )
      for (const seed of [older, newer]) await seed.records.take(poison, 'peer', 'hearsay')
      await publish(await seal(2, { seeds: [everything(newSeed)], revoked: [oldSeed.peerId] }))
      const signed = await newer.authority.set(repository, latest, manifest('good'), author)
      expect((await newer.records.get(repository, latest))?.record).toMatchObject(manifest('good'))
      expect(await older.records.take(signed, 'peer', 'hearsay')).toMatchObject({ record: manifest('good') })
      const again = await newer.authority.set(repository, latest, manifest('better'), author)
      expect(await older.records.take(again, 'peer', 'hearsay')).toMatchObject({ record: manifest('better') })
      for (let day = 0; day < 3; day++) {
        now += DAY
        expect((await newer.authority.current(repository, latest))?.record.issuedAt).toBe(now)
      }
    }
  )
})

describe('the operator of a node', () => {
  async function watch(set: Partial<SeedSet>, role: 'seed' | 'node', peerId = newSeed.peerId) {
    const node = await start(undefined, new TrustPolicy([{ peerId, byDefault: true }], () => now))
    const lines: string[] = []
    const tell = (level: string) => (_fields: object, message: string) => lines.push(`${level}: ${message}`)
    const log = { info: tell('info'), warn: tell('warn'), error: tell('error') }
    const watching = new SeedSetWatch({ peerId, role, seedSets: node.seedSets, trust: node.trust, log, now: () => now })
    watching.start()
    await node.publish(await seal(1, set))
    watching.stop()
    const told = () => lines.splice(0).filter((line) => !line.startsWith('info'))
    return { look: () => watching.look(), told }
  }

  it('hears once an hour that the set expires soon, and louder when it has', async () => {
    const { look, told } = await watch({ expiresAt: NOW + 20 * DAY }, 'node')
    expect(told()).toEqual([expect.stringMatching(/^warn: the seed set expires at 2027-02-/)])
    look()
    expect(told()).toEqual([])
    now += 3_600_000
    look()
    expect(told()).toHaveLength(1)
    now += 20 * DAY
    look()
    expect(told()).toEqual([expect.stringMatching(/^error: the seed set expired .* still counts here/)])
  })

  it.each([
    ['revoked', { revoked: [newSeed.peerId] }, /^error: this seed was revoked: it signs nothing more/],
    ['about to retire', { seeds: [{ ...everything(newSeed), notAfter: NOW + DAY }] }, /^warn: this seed retires at/],
    ['retired', { seeds: [{ ...everything(newSeed), notAfter: NOW }] }, /^error: this seed retired at/],
    ['forgotten', { seeds: [everything(oldSeed)] }, /^warn: this seed is not in the seed set/]
  ])('hears that the seed is %s', async (_what, set, line) => {
    expect((await watch(set, 'seed')).told()).toEqual([expect.stringMatching(line)])
    expect((await watch(set, 'node')).told()).toEqual([])
  })
})
