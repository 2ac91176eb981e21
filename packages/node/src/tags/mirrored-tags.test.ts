import type { TagAnswer } from '@layermesh/mesh'
import { digestOf, MEDIA_TYPE, mirroredRepository, parseTag } from '@layermesh/oci'
import { DEFAULT_FRESHNESS, sealTagRecord, type TrustGrant, TrustPolicy } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import type { MirrorPolicy } from '../mirror/mirrors.ts'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { MemoryTags } from '../testing/memory-tags.ts'
import { makeIdentity } from '../testing/notices.ts'
import { type DirectTag, DirectTags } from './direct-tags.ts'
import { TagRecords } from './tag-records.ts'
import { TagResolver } from './tag-resolver.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const MAX_AGE = 30 * SECOND
const repository = mirroredRepository('docker.io', 'library/app')
const tag = parseTag('1')
const { privateKey, peerId: seed } = await makeIdentity()

let now: number
let upstream: FakeUpstream
beforeEach(() => {
  now = 1_800_000_000_000
  upstream = new FakeUpstream()
})

interface NodeOptions {
  /** Peers that are connected, and what they answer; one that rejects does not answer. */
  readonly peers?: Record<string, () => Promise<TagAnswer>>
  readonly trust?: readonly TrustGrant[]
  readonly policy?: Partial<MirrorPolicy>
  readonly kept?: Map<string, DirectTag>
}

/** A node that is no seed. */
function makeNode({ peers = {}, trust = [], policy, kept = new Map() }: NodeOptions = {}) {
  const mirrors = mirrorsOf(upstream, policy)
  const trustPolicy = new TrustPolicy(trust)
  const records = new TagRecords({
    tags: new MemoryTags(),
    trust: trustPolicy,
    now: () => now,
    onRefused: () => {},
    isMirrored: (wanted) => mirrors.hostOf(wanted) !== undefined,
    keepsHistory: () => false,
    peerId: 'self',
    onForeignUse: () => {}
  })
  const heard: string[] = []
  const askedPeers: string[] = []
  const resolver = new TagResolver({
    peerId: 'self',
    authority: undefined,
    records,
    others: { refresh: async () => {} },
    trust: trustPolicy,
    client: {
      resolve: async (peerId) => {
        askedPeers.push(peerId)
        return await (peers[peerId]?.() ?? Promise.reject(new Error('can not be reached')))
      }
    },
    directory: { get: async () => undefined },
    mirrored: {
      hostOf: (wanted) => mirrors.hostOf(wanted),
      upstream: undefined,
      direct: new DirectTags({ mirrors, kept, log: { debug: () => {} }, now: () => now })
    },
    connected: () => Object.keys(peers),
    freshnessOf: () => ({ ...DEFAULT_FRESHNESS, maxAgeMs: MAX_AGE, maxStaleMs: HOUR }),
    onResolved: (source, result) => heard.push(`${source} ${result}`),
    now: () => now
  })
  return { resolve: () => resolver.resolve(repository, tag), records, heard, askedPeers, kept }
}

const TRUST: readonly TrustGrant[] = [{ peerId: seed, repositories: ['docker.io/**'] }]

/** What a seed signs now, its registry having confirmed it. */
async function signed(text: string): Promise<TagAnswer> {
  const bytes = Buffer.from(text)
  const meaning = { digest: digestOf(bytes), mediaType: MEDIA_TYPE.ociManifest, size: bytes.byteLength }
  const record = { repository, tag, sequence: 1, issuedAt: now, expiresAt: now + 720 * HOUR, ...meaning }
  return { envelope: await sealTagRecord(record, privateKey), confirmedAt: now, authoritative: true }
}

const gone = () => Promise.reject(new Error('gone'))

describe('a mirrored tag that no trusted seed signs', () => {
  it('is asked for at its registry, by each node, and again when it is no longer fresh', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { resolve, heard, askedPeers } = makeNode()
    expect(await resolve()).toMatchObject({ record: { digest } })
    now += MAX_AGE
    expect(await resolve()).toMatchObject({ record: { digest } })
    now += 4 * SECOND
    await resolve()
    expect(heard).toEqual(['upstream ok', 'local ok', 'upstream ok'])
    expect([upstream.asked.length, askedPeers.length]).toEqual([2, 0])
  })

  it('means what its registry said last while that does not answer, also after a restart, but not for ever', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const { resolve, kept } = makeNode()
    await resolve()
    upstream.failing = 'UNREACHABLE'
    const restarted = makeNode({ kept })
    now += HOUR
    expect(await restarted.resolve()).toMatchObject({
      record: { digest },
      warning: expect.stringContaining('docker.io')
    })
    now += 4 * SECOND
    expect(await restarted.resolve()).toBeUndefined()
    expect(restarted.heard).toEqual(['local stale', 'local unknown'])
  })

  it('is not there when its registry has no such tag, and that is not asked again at once', async () => {
    const { resolve, heard } = makeNode()
    expect(await resolve()).toBeUndefined()
    expect(await resolve()).toBeUndefined()
    expect([heard, upstream.asked.length]).toEqual([['upstream unknown', 'upstream unknown'], 1])
    upstream.tag('library/app:1', Buffer.from('one'))
    now += 3_001
    expect(await resolve()).toBeDefined()
  })

  it('is no more what it was once its registry has it no more', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { resolve } = makeNode()
    await resolve()
    upstream.untag('library/app:1')
    now += MINUTE
    expect(await resolve()).toBeUndefined()
    upstream.failing = 'UNREACHABLE'
    now += MINUTE
    expect(await resolve()).toBeUndefined()
  })

  it('is not asked for where the settings do not let nodes ask', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { resolve } = makeNode({ policy: { direct: false } })
    expect(await resolve()).toBeUndefined()
    expect(upstream.asked).toEqual([])
  })

  it('means the same for a moment, so that a client that asks twice gets one image', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const node = makeNode({ kept: new Map() })
    await node.resolve()
    node.kept.clear()
    const moved = upstream.tag('library/app:1', Buffer.from('two'))
    now += 3_000
    expect(await node.resolve()).toMatchObject({ record: { digest } })
    now += 1
    expect(await node.resolve()).toMatchObject({ record: { digest: moved } })
  })
})

describe('a mirrored tag with a seed', () => {
  it('is the word of the seed, and its registry is left alone', async () => {
    const answer = await signed('one')
    const { resolve, heard } = makeNode({ trust: TRUST, peers: { [seed]: async () => answer } })
    expect(await resolve()).toEqual({ record: expect.objectContaining({ digest: digestOf(Buffer.from('one')) }) })
    expect([heard, upstream.asked]).toEqual([['seed ok'], []])
  })

  it('is as old as the seed says that it is, however often the seed answers', async () => {
    const answer = await signed('one')
    const { resolve, heard } = makeNode({ trust: TRUST, peers: { [seed]: async () => answer } })
    await resolve()
    now += 10 * MINUTE
    expect(await resolve()).toMatchObject({ warning: expect.stringMatching(/docker\.io .* 600 s ago/) })
    now += HOUR
    await expect(resolve()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(heard).toEqual(['seed ok', 'seed stale', 'seed refused'])
  })

  it('that is not there by the word of the seed is not asked for elsewhere', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const none = async (): Promise<TagAnswer> => ({ confirmedAt: 0, authoritative: true })
    const { resolve } = makeNode({ trust: TRUST, peers: { [seed]: none } })
    expect(await resolve()).toBeUndefined()
    expect(upstream.asked).toEqual([])
  })

  it('is what was kept of it while no seed answers, then what its registry says', async () => {
    const answer = await signed('one')
    let answers: () => Promise<TagAnswer> = async () => answer
    const { resolve, heard } = makeNode({ trust: TRUST, peers: { [seed]: () => answers() } })
    await resolve()
    answers = gone
    now += MINUTE
    expect(await resolve()).toMatchObject({ warning: expect.any(String) })
    now += HOUR
    const digest = upstream.tag('library/app:1', Buffer.from('two'))
    expect(await resolve()).toEqual({ record: expect.objectContaining({ digest }) })
    expect(heard).toEqual(['seed ok', 'local stale', 'upstream ok'])
  })

  it('is what another node kept of it while no seed answers', async () => {
    const answer = { ...(await signed('one')), authoritative: false }
    now += MINUTE
    const { resolve, heard } = makeNode({ trust: TRUST, peers: { [seed]: gone, other: async () => answer } })
    expect(await resolve()).toMatchObject({ record: { digest: digestOf(Buffer.from('one')) } })
    expect([heard, upstream.asked]).toEqual([['peer stale'], []])
  })

  it('does not go back to what a peer kept once its registry has said something else', async () => {
    const old = { ...(await signed('one')), authoritative: false }
    now += MINUTE
    const digest = upstream.tag('library/app:1', Buffer.from('two'))
    let answers: () => Promise<TagAnswer> = gone
    const { resolve } = makeNode({ trust: TRUST, peers: { [seed]: gone, other: () => answers() } })
    expect(await resolve()).toMatchObject({ record: { digest } })
    answers = async () => old
    for (let time = 0; time < 3; time++) {
      now += MINUTE
      expect(await resolve()).toMatchObject({ record: { digest } })
    }
  })

  it('is asked for at its registry when the seed can not say anything', async () => {
    const digest = upstream.tag('library/app:1', Buffer.from('one'))
    const unsure = async (): Promise<TagAnswer> => ({ confirmedAt: 0, authoritative: false })
    const { resolve } = makeNode({ trust: TRUST, peers: { [seed]: unsure } })
    expect(await resolve()).toMatchObject({ record: { digest } })
  })

  it('costs no wait for a seed that did not answer, again and again', async () => {
    upstream.tag('library/app:1', Buffer.from('one'))
    const { resolve, askedPeers } = makeNode({ trust: TRUST, peers: { [seed]: gone } })
    for (let pull = 0; pull < 5; pull++) {
      await resolve()
      now += MINUTE
    }
    expect(askedPeers).toEqual([seed])
  })
})
