import type { TagAnswer } from '@layermesh/mesh'
import { digestOf, MEDIA_TYPE, mirroredRepository, ownRepository, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { DEFAULT_FRESHNESS, sealTagRecord, TrustPolicy } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryTags } from '../testing/memory-tags.ts'
import { makeIdentity } from '../testing/notices.ts'
import { makeSeed } from '../testing/tag-seeds.ts'
import type { TagAuthor } from './tag-authority.ts'
import { TagRecords } from './tag-records.ts'
import { TagResolver, type TagResolverComponents, type TagResolverOptions } from './tag-resolver.ts'

const HOUR = 3_600_000
const CHANGE = 2 ** 20
const author: TagAuthor = { caller: OPEN_CALLER, node: 'node' }
const repository = ownRepository('team/app')
const tag = parseTag('1.0')
const manifest = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  mediaType: MEDIA_TYPE.ociManifest,
  size: text.length
})

const { privateKey: seedKey, peerId: seedId } = await makeIdentity()
const { privateKey: strangerKey } = await makeIdentity()

let now: number
let refusals: string[]
beforeEach(() => {
  now = 1_800_000_000_000
  refusals = []
})

function recordsOver(tags: MemoryTags, trust: TrustPolicy): TagRecords {
  return new TagRecords({
    tags,
    trust,
    now: () => now,
    onRefused: ({ reason }) => refusals.push(reason),
    keepsHistory: () => true,
    peerId: 'self',
    onForeignUse: () => {}
  })
}

function seedWithAnswer(tags = new MemoryTags()) {
  const seed = makeSeed(seedKey, { tags, now: () => now })
  const answer = async (): Promise<TagAnswer> => {
    const current = await seed.authority.current(repository, tag)
    return { confirmedAt: now, authoritative: true, ...(current ? { envelope: current.envelope } : {}) }
  }
  return { ...seed, answer }
}

function resolverOver(
  components: Partial<TagResolverComponents> & Pick<TagResolverComponents, 'records'>,
  options: Partial<TagResolverOptions> = {}
): TagResolver {
  const defaults: TagResolverComponents = {
    peerId: 'self',
    authority: undefined,
    trust: new TrustPolicy([{ peerId: seedId }]),
    others: { refresh: async () => {} },
    client: { resolve: () => Promise.reject(new Error('can not be reached')) },
    directory: { get: async () => undefined },
    connected: () => [],
    freshnessOf: () => DEFAULT_FRESHNESS,
    onResolved: () => {},
    now: () => now,
    ...components
  }
  return new TagResolver(defaults, options)
}

/** A node that is connected to the given peers, each an answer to "what does the tag mean?". */
function makeNode(
  peers: Record<string, () => Promise<TagAnswer>>,
  tags = new MemoryTags(),
  dht: () => Promise<Uint8Array | undefined> = async () => undefined,
  options: Partial<TagResolverOptions> = {}
) {
  const trust = new TrustPolicy([{ peerId: seedId }])
  const records = recordsOver(tags, trust)
  const heard: string[] = []
  const components = {
    records,
    trust,
    client: {
      resolve: async (peerId: string) => {
        const peer = peers[peerId]
        if (!peer) throw new Error('can not be reached')
        return await peer()
      }
    },
    directory: { get: dht },
    connected: () => Object.keys(peers),
    onResolved: (source: string, result: string) => heard.push(`${source} ${result}`)
  }
  const resolver = resolverOver(components, options)
  return { resolve: () => resolver.resolve(repository, tag), records, tags, heard }
}

describe('a seed', () => {
  it('signs each change with a higher sequence, also when changes come at once', async () => {
    const { authority, records } = seedWithAnswer()
    await Promise.all(['a', 'b', 'c'].map((text) => authority.set(repository, tag, manifest(text), author)))
    expect((await records.get(repository, tag))?.record.sequence).toBe(3 * CHANGE)
  })

  it('signs a tombstone for a deleted tag, once', async () => {
    const { authority } = seedWithAnswer()
    await authority.set(repository, tag, manifest('a'), author)
    expect(await authority.remove(repository, tag, author)).toBeDefined()
    expect(await authority.remove(repository, tag, author)).toBeUndefined()
  })

  it('signs an old record anew when somebody asks, with the same meaning', async () => {
    const { authority, published } = seedWithAnswer()
    await authority.set(repository, tag, manifest('a'), author)
    now += 2 * HOUR
    const current = await authority.current(repository, tag)
    expect(current?.record).toMatchObject({ sequence: CHANGE + 1, issuedAt: now, digest: manifest('a').digest })
    expect(published).toHaveLength(2)
    expect((await authority.current(repository, tag))?.record.sequence).toBe(CHANGE + 1)
  })

  it('goes on from the sequence of a signer that is trusted no more', async () => {
    const tags = new MemoryTags()
    await tags.put(repository, tag, { sequence: 7, envelope: new Uint8Array([1]), confirmedAt: now })
    const { authority, records } = seedWithAnswer(tags)
    await authority.set(repository, tag, manifest('a'), author)
    expect((await records.get(repository, tag))?.record).toMatchObject({
      sequence: CHANGE,
      digest: manifest('a').digest
    })
  })

  it('answers for its own tags, however short the time for which others may believe them', async () => {
    const { authority, records } = seedWithAnswer()
    await authority.set(repository, tag, manifest('a'), author)
    now += 120_000
    const policy = { ...DEFAULT_FRESHNESS, maxStaleMs: 60_000 }
    const resolver = resolverOver({ authority, records, peerId: seedId, freshnessOf: () => policy })
    expect((await resolver.resolve(repository, tag))?.warning).toBeUndefined()
  })

  it("has no say over another registry's images unless it was given it", () => {
    const { authority } = seedWithAnswer()
    expect([
      authority.isAuthority(repository),
      authority.isAuthority(mirroredRepository('docker.io', 'nginx'))
    ]).toEqual([true, false])
  })
})

describe('a node', () => {
  it('asks the seed, and for a while goes by what it heard', async () => {
    const seed = seedWithAnswer()
    await seed.authority.set(repository, tag, manifest('a'), author)
    const node = makeNode({ [seedId]: seed.answer })
    expect((await node.resolve())?.record.digest).toBe(manifest('a').digest)
    now += 5_000
    await node.resolve()
    now += 6_000
    await node.resolve()
    expect(node.heard).toEqual(['seed ok', 'local ok', 'seed ok'])
  })

  it('sees a tag move, and a tag deleted', async () => {
    const seed = seedWithAnswer()
    await seed.authority.set(repository, tag, manifest('a'), author)
    const node = makeNode({ [seedId]: seed.answer })
    await node.resolve()
    await seed.authority.set(repository, tag, manifest('b'), author)
    now += 11_000
    expect((await node.resolve())?.record.digest).toBe(manifest('b').digest)
    await seed.authority.remove(repository, tag, author)
    now += 11_000
    expect(await node.resolve()).toBeUndefined()
  })

  it('answers with a warning when the seed is gone, and refuses when the answer got too old', async () => {
    const seed = seedWithAnswer()
    await seed.authority.set(repository, tag, manifest('a'), author)
    const peers: Record<string, () => Promise<TagAnswer>> = { [seedId]: seed.answer }
    const node = makeNode(peers)
    await node.resolve()
    delete peers[seedId]
    now += 23 * HOUR
    expect((await node.resolve())?.warning).toMatch(/82800 s ago/)
    now += 2 * HOUR
    await expect(node.resolve()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('that never saw the tag learns it from peers when the seed is gone, and takes the newest', async () => {
    const seed = seedWithAnswer()
    const old = await seed.authority.set(repository, tag, manifest('a'), author)
    const latest = await seed.authority.set(repository, tag, manifest('b'), author)
    const say = (envelope: Uint8Array) => async () => ({ envelope, confirmedAt: now, authoritative: false })
    const node = makeNode({ peer1: say(old), peer2: say(latest) })
    expect((await node.resolve())?.record.digest).toBe(manifest('b').digest)
  })

  it('learns it from the DHT when nobody else knows', async () => {
    const seed = seedWithAnswer()
    const envelope = await seed.authority.set(repository, tag, manifest('a'), author)
    now += 60_000
    const node = makeNode({}, new MemoryTags(), async () => envelope)
    expect((await node.resolve())?.record.digest).toBe(manifest('a').digest)
    expect(node.heard).toEqual(['dht stale'])
  })

  it('does not believe a peer that an old record is fresh', async () => {
    const seed = seedWithAnswer()
    const envelope = await seed.authority.set(repository, tag, manifest('a'), author)
    now += 25 * HOUR
    const node = makeNode({ peer: async () => ({ envelope, confirmedAt: now, authoritative: true }) })
    await expect(node.resolve()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('never goes back to a lower sequence, also after a restart, even when the seed itself says so', async () => {
    const seed = seedWithAnswer()
    const old = await seed.authority.set(repository, tag, manifest('a'), author)
    await seed.authority.set(repository, tag, manifest('b'), author)
    const first = makeNode({ [seedId]: seed.answer })
    await first.resolve()
    now += 11_000
    const restarted = makeNode(
      { [seedId]: async () => ({ envelope: old, confirmedAt: now, authoritative: true }) },
      first.tags
    )
    expect((await restarted.resolve())?.record.digest).toBe(manifest('b').digest)
    expect(refusals).toContain('rollback')
  })

  it.each([
    [
      'signed by a stranger',
      async () =>
        sealTagRecord(
          { repository, tag, sequence: 9, issuedAt: now, expiresAt: now + HOUR, ...manifest('x') },
          strangerKey
        ),
      'signer_not_trusted'
    ],
    [
      'for another tag',
      async () =>
        sealTagRecord(
          { repository, tag: parseTag('2.0'), sequence: 9, issuedAt: now, expiresAt: now + HOUR, ...manifest('x') },
          seedKey
        ),
      'wrong_tag'
    ],
    [
      'for another repository',
      async () =>
        sealTagRecord(
          {
            repository: ownRepository('team/other'),
            tag,
            sequence: 9,
            issuedAt: now,
            expiresAt: now + HOUR,
            ...manifest('x')
          },
          seedKey
        ),
      'wrong_tag'
    ],
    [
      'that has expired',
      async () =>
        sealTagRecord(
          { repository, tag, sequence: 9, issuedAt: now - HOUR, expiresAt: now - 1, ...manifest('x') },
          seedKey
        ),
      'expired'
    ],
    [
      'from the future',
      async () =>
        sealTagRecord(
          { repository, tag, sequence: 9, issuedAt: now + HOUR, expiresAt: now + 2 * HOUR, ...manifest('x') },
          seedKey
        ),
      'from_the_future'
    ],
    ['that is garbage', async () => new Uint8Array([1, 2, 3]), 'record_malformed']
  ])('refuses a record %s, and says so', async (_what, seal, reason) => {
    const envelope = await seal()
    const node = makeNode({ peer: async () => ({ envelope, confirmedAt: now, authoritative: true }) })
    expect(await node.resolve()).toBeUndefined()
    expect(refusals).toEqual([reason])
  })

  it.each([
    ['an older one', 'rollback', { sequence: 6 }],
    ['another one under the same number', 'conflict', { sequence: 7, ...manifest('x') }],
    ['one that has expired', 'expired', { sequence: 8, issuedAt: -2 * HOUR, expiresAt: -1 }],
    ['one from the future', 'from_the_future', { sequence: 8, issuedAt: 60_001 }]
  ])('refuses after a restart what it refused before: %s', async (_what, reason, change) => {
    const times = { issuedAt: now, expiresAt: now + HOUR }
    const statement = { repository, tag, sequence: 7, ...manifest('a') }
    const first = makeNode({})
    await first.records.take(await sealTagRecord({ ...statement, ...times }, seedKey), 'peer', 'hearsay')
    const { issuedAt = 0, expiresAt = HOUR } = change as { issuedAt?: number; expiresAt?: number }
    const other = { ...statement, ...change, issuedAt: now + issuedAt, expiresAt: now + expiresAt }
    const envelope = await sealTagRecord(other, seedKey)
    const restarted = makeNode({}, first.tags)
    for (const node of [first, restarted]) expect(await node.records.take(envelope, 'peer', 'hearsay')).toBeUndefined()
    expect(refusals).toEqual([reason, reason])
    expect((await restarted.records.get(repository, tag))?.record).toMatchObject(manifest('a'))
  })

  it('follows a seed whose clock is a minute ahead or behind', async () => {
    for (const skew of [60_000, -60_000]) {
      const seed = makeSeed(seedKey, { now: () => now + skew })
      await seed.authority.set(repository, tag, manifest(`${skew}`), author)
      const answer = async () => ({
        confirmedAt: now + skew,
        authoritative: true,
        ...(await seed.records.get(repository, tag))
      })
      const node = makeNode({ [seedId]: answer })
      expect(await node.resolve()).toEqual({ record: expect.objectContaining(manifest(`${skew}`)) })
    }
    expect(refusals).toEqual([])
  })

  it('asks the seed once for all who want the same tag at one time', async () => {
    const seed = seedWithAnswer()
    await seed.authority.set(repository, tag, manifest('a'), author)
    let asked = 0
    const node = makeNode({
      [seedId]: () => {
        asked++
        return seed.answer()
      }
    })
    const answers = await Promise.all(Array.from({ length: 50 }, () => node.resolve()))
    expect([asked, answers.every((answer) => answer !== undefined)]).toEqual([1, true])
  })

  it('goes by what the seed says also when it says so only while others are being asked', async () => {
    const seed = seedWithAnswer()
    await seed.authority.set(repository, tag, manifest('a'), author)
    const othersAsked = Promise.withResolvers<void>()
    const slowSeed = () => othersAsked.promise.then(() => seed.answer())
    const peer = async () => {
      othersAsked.resolve()
      return { confirmedAt: 0, authoritative: false }
    }
    const options = { seedDeadlineMs: 1, searchDeadlineMs: HOUR }
    const node = makeNode({ [seedId]: slowSeed, peer }, new MemoryTags(), undefined, options)
    expect(await node.resolve()).toEqual({ record: expect.objectContaining(manifest('a')) })
    expect(node.heard).toEqual(['seed ok'])
  })

  it('does not ask a seed that did not answer again at once', async () => {
    let asked = 0
    const node = makeNode({
      [seedId]: async () => {
        asked++
        throw new Error('no answer')
      }
    })
    await node.resolve()
    await node.resolve()
    expect(asked).toBeLessThanOrEqual(3)
  })
})
