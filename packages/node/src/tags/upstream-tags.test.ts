import { type Digest, mirroredRepository, parseTag, type Repository, type Tag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { DEFAULT_FRESHNESS, TrustPolicy } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { MemoryTags } from '../testing/memory-tags.ts'
import { makeIdentity } from '../testing/notices.ts'
import { makeSeed } from '../testing/tag-seeds.ts'
import { ImmutableTags } from './immutable-tags.ts'
import { meaningOf } from './tag-records.ts'
import { UpstreamTags } from './upstream-tags.ts'

const MINUTE = 60_000
const MAX_AGE = 30_000
const WAIT = 1_000
const repository = mirroredRepository('docker.io', 'library/app')
const tag = parseTag('1')
const HEAD = 'HEAD library/app 1 node'
const { privateKey, peerId } = await makeIdentity()

let now: number
let upstream: FakeUpstream
beforeEach(() => {
  now = 1_800_000_000_000
  upstream = new FakeUpstream()
})

/** A seed that may sign for all of Docker Hub. */
function makeUpstreamTags(options: { immutable?: string; tags?: MemoryTags; changed?: string[] } = {}) {
  const { tags = new MemoryTags(), changed = [] } = options
  const immutable = new ImmutableTags(options.immutable ? [{ repositories: options.immutable, tags: '*' }] : [])
  const mirrors = mirrorsOf(upstream)
  const seed = makeSeed(privateKey, {
    tags,
    trust: new TrustPolicy([{ peerId, repositories: ['docker.io/**'] }]),
    now: () => now,
    immutable,
    mirroredFrom: (wanted) => mirrors.hostOf(wanted),
    onChange: async ({ record, author }) => {
      changed.push(`${author.caller.name} ${meaningOf(record) ?? 'deleted'}`)
    }
  })
  const brought: Digest[] = []
  const upstreamTags = new UpstreamTags({
    peerId,
    mirrors,
    authority: seed.authority,
    records: seed.records,
    immutable,
    bring: async ({ name, registry }, digest, signal) => {
      brought.push(digest)
      return await registry.getManifest(name, digest, { signal })
    },
    freshnessOf: () => ({ ...DEFAULT_FRESHNESS, maxAgeMs: MAX_AGE }),
    log: { debug: () => {} },
    now: () => now
  })
  const current = (wanted: Repository = repository, name: Tag = tag) => upstreamTags.current(wanted, name, WAIT)
  return { ...seed, current, brought, changed }
}

describe('a tag of another registry, at its seed', () => {
  it('is asked for by HEAD, its manifest brought once by its digest, and signed in the name of the registry', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { current, published, changed, tags } = makeUpstreamTags()
    const word = await current()
    expect(word).toMatchObject({ heard: true, asked: true, tag: { record: { digest, repository, tag } } })
    expect(upstream.asked).toEqual([HEAD, `GET library/app ${digest} node`])
    expect(published).toHaveLength(1)
    expect(changed).toEqual([`upstream:docker.io ${digest}`])
    expect(await tags.history(repository, tag, { limit: 9 })).toMatchObject([{ actor: 'upstream:docker.io', digest }])
  })

  it('is asked for once by all who want it at one time', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { current } = makeUpstreamTags()
    await Promise.all([current(), current(), current()])
    expect(upstream.asked.filter((line) => line === HEAD)).toHaveLength(1)
  })

  it('is not asked for again while it is fresh, then by HEAD alone; the same digest is no change', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { current, changed, records, brought } = makeUpstreamTags()
    const first = await current()
    now += MAX_AGE
    expect(await current()).toMatchObject({ heard: true, asked: false })
    now += 1
    expect(await current()).toMatchObject({ heard: true, asked: true, tag: { confirmedAt: now } })
    expect(upstream.asked.filter((line) => line === HEAD)).toHaveLength(2)
    expect([changed.length, brought.length]).toEqual([1, 1])
    expect((await records.get(repository, tag))?.record.sequence).toBe(first?.tag?.record.sequence)
  })

  it('is signed anew only after its registry has confirmed it, and with the time of that', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { current, authority, records } = makeUpstreamTags()
    const first = await current()
    now += 120 * MINUTE
    upstream.failing = 'UNAVAILABLE'
    await authority.renewOld()
    await authority.current(repository, tag)
    expect(await records.get(repository, tag)).toMatchObject({
      confirmedAt: first?.tag?.confirmedAt,
      record: first?.tag?.record
    })
    upstream.failing = undefined
    await current()
    expect((await records.get(repository, tag))?.record.issuedAt).toBe(now)
  })

  it.each(['UNREACHABLE', 'RATE_LIMITED', 'UNAVAILABLE', 'DENIED'] as const)(
    'stays as old as it is while its registry answers %s, which is not asked again at once',
    async (failure) => {
      const digest = upstream.tag('library/app:1', Buffer.from('one'))
      const { current, published } = makeUpstreamTags()
      const confirmedAt = now
      await current()
      now += MINUTE
      upstream.failing = failure
      expect(await current()).toMatchObject({ heard: false, tag: { confirmedAt, record: { digest } } })
      const before = upstream.asked.length
      expect(await current()).toMatchObject({ heard: false, asked: false, tag: { confirmedAt } })
      expect([upstream.asked.length, published.length]).toEqual([before, 1])
    }
  )

  it('stays as it is when the manifest of the new digest can not be had', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { current } = makeUpstreamTags()
    await current()
    now += MINUTE
    const moved = upstream.tag('library/app:1', Buffer.from('two'))
    const get = upstream.getManifest.bind(upstream)
    upstream.getManifest = async () => undefined
    expect(await current()).toMatchObject({ heard: false, tag: { record: { digest } } })
    upstream.getManifest = get
    now += MINUTE
    expect(await current()).toMatchObject({ heard: true, tag: { record: { digest: moved } } })
  })

  it('that its registry has no more becomes a tombstone, and comes back with a higher sequence', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { current, changed } = makeUpstreamTags()
    const first = await current()
    upstream.untag('library/app:1')
    now += MINUTE
    const gone = await current()
    expect(gone?.tag?.record).toMatchObject({ deleted: true })
    expect(changed.at(-1)).toBe('upstream:docker.io deleted')
    const digest = upstream.tag('library/app:1', Buffer.from('two'))
    now += 4_000
    const again = await current()
    expect(again?.tag?.record).toMatchObject({ digest })
    const sequences = [first, gone, again].map((word) => word?.tag?.record.sequence ?? 0)
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b))
  })

  it('that there never was is not signed, and asked for again after a moment only', async () => {
    const { current, published } = makeUpstreamTags()
    expect(await current()).toEqual({ tag: undefined, heard: true, asked: true })
    expect(await current()).toEqual({ tag: undefined, heard: true, asked: false })
    now += 3_001
    await current()
    expect([upstream.asked.length, published.length]).toEqual([2, 0])
  })

  it('is answered without its registry when that takes too long, which goes on meanwhile', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    let answer = () => {}
    upstream.delay = new Promise<void>((resolve) => {
      answer = resolve
    })
    const { current, records } = makeUpstreamTags()
    expect(await current()).toEqual({ tag: undefined, heard: false, asked: true })
    answer()
    await expect.poll(async () => (await records.get(repository, tag))?.record).toMatchObject({ digest })
  })

  it('that the operator made immutable keeps its meaning, whatever its registry says', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { current } = makeUpstreamTags({ immutable: 'docker.io/library/*' })
    await current()
    upstream.tag('library/app:1', Buffer.from('two'))
    now += MINUTE
    expect(await current()).toMatchObject({ heard: true, tag: { record: { digest } } })
  })

  it('can be changed by nobody else', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { current, authority } = makeUpstreamTags()
    await current()
    const author = { caller: OPEN_CALLER, node: peerId }
    const manifest = { digest, mediaType: 'a/b', size: 3 }
    await expect(authority.set(repository, tag, manifest, author)).rejects.toMatchObject({ code: 'DENIED' })
    await expect(authority.remove(repository, tag, author)).rejects.toMatchObject({ code: 'DENIED' })
    await expect(authority.restore(repository, tag, manifest, author)).rejects.toMatchObject({ code: 'DENIED' })
  })

  it('is no matter of other registries, and of the mesh’s own repositories', async () => {
    const { current } = makeUpstreamTags()
    expect(await current(mirroredRepository('ghcr.io', 'org/app'))).toBeUndefined()
    expect(await current('team/app' as Repository)).toBeUndefined()
  })
})

describe('two seeds for the same registry', () => {
  it('do not change what the other signed when the registry says the same', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const tags = new MemoryTags()
    const changed: string[] = []
    const [one, two] = [makeUpstreamTags({ tags, changed }), makeUpstreamTags({ tags, changed })]
    await one.current()
    now += MINUTE
    await two.current()
    now += MINUTE
    await one.current()
    expect(changed).toHaveLength(1)
  })

  it('do not undo what the other heard later', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const tags = new MemoryTags()
    const [one, two] = [makeUpstreamTags({ tags }), makeUpstreamTags({ tags })]
    const head = upstream.headManifest.bind(upstream)
    const before = await head('library/app', '1', { signal: AbortSignal.timeout(WAIT) })
    let answer = () => {}
    const gate = new Promise<void>((resolve) => {
      answer = resolve
    })
    upstream.headManifest = async () => {
      upstream.headManifest = head
      await gate
      return before
    }
    const slow = one.current()
    await expect.poll(() => upstream.headManifest).toBe(head)
    now += 1_000
    const digest = upstream.tag('library/app:1', Buffer.from('two'))
    await two.current()
    answer()
    await slow
    expect((await one.records.get(repository, tag))?.record).toMatchObject({ digest })
  })
})

describe('what a seed tells of a mirrored tag', () => {
  it('counts as old as the word of its registry, not as new as the answer', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const seed = makeUpstreamTags()
    const word = await seed.current()
    const told = now
    now += 10 * MINUTE
    const trust = new TrustPolicy([{ peerId, repositories: ['docker.io/**'] }])
    const node = makeSeed(privateKey, { trust, now: () => now, mirroredFrom: () => 'docker.io' })
    const envelope = word?.tag?.envelope ?? new Uint8Array()
    const taken = await node.records.take(envelope, peerId, 'authority', { repository, tag }, told + MINUTE)
    expect(taken?.confirmedAt).toBe(told + MINUTE)
    const future = await node.records.take(envelope, peerId, 'authority', { repository, tag }, now + MINUTE)
    expect(future?.confirmedAt).toBe(now)
  })
})
