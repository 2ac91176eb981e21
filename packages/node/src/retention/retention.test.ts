import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openContentStore } from '@layermesh/content'
import type { TagClient } from '@layermesh/mesh'
import { type Digest, digestOf, MEDIA_TYPE, ownRepository, parseManifest, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { peerIdOf, sealTagRecord, TrustPolicy } from '@layermesh/trust'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Deletions } from '../backend/deletions.ts'
import { keepManifest } from '../backend/keep-manifest.ts'
import { SeedRouter } from '../backend/seed-router.ts'
import { ImmutableTags } from '../tags/immutable-tags.ts'
import type { TagChange } from '../tags/tag-authority.ts'
import { makeIdentity } from '../testing/notices.ts'
import { makeSeed } from '../testing/tag-seeds.ts'
import { Retention } from './retention.ts'
import { type RetentionRule, RetentionRules } from './retention-rules.ts'

const repository = ownRepository('team/app')
const DAY_MS = 86_400_000
const signal = AbortSignal.timeout(60_000)
const { privateKey: key } = await makeIdentity()
const other = await makeIdentity()

/** A seed with rules, over a store of its own; days pass when they are told to. */
async function open(
  rules: Partial<RetentionRule>[],
  { immutable = [] as { repositories: string; tags: string }[] } = {}
) {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-retention-'))
  const content = await openContentStore(directory)
  const clock = { now: Date.now() }
  const now = () => clock.now
  const peerId = peerIdOf(key)
  const trust = new TrustPolicy([{ peerId }, { peerId: other.peerId }])
  const compiled = new RetentionRules(rules.map((rule) => ({ repositories: '**', tags: '*', ...rule })))
  const immutableTags = new ImmutableTags(immutable, (where) => compiled.untaggedAfterMs(where) !== undefined)
  const changes: TagChange[] = []
  const onChange = async (change: TagChange) => void changes.push(change)
  const seed = makeSeed(key, { tags: content.tags, trust, immutable: immutableTags, now, onChange })
  const { authority } = seed
  const router = new SeedRouter({
    peerId,
    trust: new TrustPolicy([{ peerId }]),
    client: new Proxy({}, { get: () => () => Promise.reject(new Error('can not be reached')) }) as TagClient,
    connected: () => [],
    confirm: async () => []
  })
  const others = { include: () => false, refresh: async () => {} }
  const deletions = new Deletions({
    peerId,
    content,
    router,
    authority,
    immutable: immutableTags,
    others,
    permitted: true
  })
  const expired: Digest[] = []
  const log = { info: () => {}, warn: () => {} }
  const retention = new Retention(
    {
      peerId,
      content,
      authority,
      deletions,
      immutable: immutableTags,
      rules: compiled,
      events: { manifestExpired: async (_repository, digest) => void expired.push(digest) },
      log,
      now
    },
    { everyMs: 0 }
  )
  onTestFinished(async () => {
    await retention.stop()
    await content.close()
    await rm(directory, { recursive: true, force: true })
  })

  const keep = async (manifest: { readonly mediaType: string; readonly [field: string]: unknown }) => {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...manifest }))
    const digest = digestOf(bytes)
    await content.blobs.put(digest, bytes)
    await keepManifest(content, repository, digest, bytes, parseManifest(bytes, manifest.mediaType))
    return { digest, mediaType: manifest.mediaType, size: bytes.byteLength }
  }
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 }
  const image = (name: string, subject?: object) =>
    keep({ mediaType: MEDIA_TYPE.ociManifest, config, layers: [], annotations: { name }, ...(subject && { subject }) })
  const index = (...manifests: object[]) => keep({ mediaType: MEDIA_TYPE.ociIndex, manifests })
  const tag = (name: string, manifest: Awaited<ReturnType<typeof keep>>) =>
    authority.set(repository, parseTag(name), manifest, { caller: OPEN_CALLER, node: peerId })
  const run = async (dryRun = false) => {
    const { tags, manifests, spared, complete } = await retention.run({ dryRun, signal })
    return { tags: tags.map((each) => each.tag), manifests: manifests.map(({ digest }) => digest), spared, complete }
  }
  const tags = () => content.tags.list(repository, { limit: 100 })
  return { content, clock, seed, retention, changes, expired, image, index, tag, run, tags, trust }
}

describe('retention', () => {
  it('removes tags that the rules do not keep, as a signed deletion with its name', async () => {
    const { clock, image, tag, run, tags, changes, content } = await open([{ tags: 'v*', keepLast: 1 }])
    for (const name of ['v1', 'v2', 'latest']) {
      await tag(name, await image(name))
      clock.now += 1_000
    }
    expect((await run(true)).tags).toEqual(['v1'])
    expect(await tags()).toEqual(['latest', 'v1', 'v2'])
    expect(await run()).toEqual({ tags: ['v1'], manifests: [], spared: [], complete: true })
    expect(await tags()).toEqual(['latest', 'v2'])
    expect(changes.at(-1)).toMatchObject({
      record: { tag: 'v1', deleted: true },
      author: { caller: { name: 'retention' } }
    })
    const [last] = await content.tags.history(repository, parseTag('v1'), { limit: 1 })
    expect(last).toMatchObject({ actor: 'retention', previous: expect.anything() })
    expect(await run()).toMatchObject({ tags: [] })
  })

  it('counts the age of a tag from when it came to mean what it means, not from when its record was renewed', async () => {
    const { clock, image, tag, run, seed } = await open([{ keepYoungerThanMs: 7 * DAY_MS }])
    await tag('old', await image('a'))
    await tag('moved', await image('b'))
    clock.now += 6 * DAY_MS
    await tag('moved', await image('c'))
    await seed.authority.current(repository, parseTag('old'))
    clock.now += 2 * DAY_MS
    expect((await run()).tags).toEqual(['old'])
  })

  it('leaves immutable tags, and tags that another seed signed last', async () => {
    const given = await open([{ keepYoungerThanMs: 1 }], { immutable: [{ repositories: '**', tags: 'v*' }] })
    const { clock, image, tag, run, tags, content, seed } = given
    await tag('v1', await image('a'))
    await tag('mine', await image('b'))
    const { digest, mediaType, size } = await image('c')
    const theirs = parseTag('theirs')
    const record = {
      repository,
      tag: theirs,
      digest,
      mediaType,
      size,
      sequence: 2 ** 20,
      issuedAt: clock.now,
      expiresAt: clock.now + 99 * DAY_MS
    }
    await seed.records.take(await sealTagRecord(record, other.privateKey), 'x', 'authority')
    expect((await content.tags.get(repository, theirs))?.digest).toBe(digest)
    clock.now += DAY_MS
    expect(await run()).toMatchObject({ tags: ['mine'], spared: [] })
    expect(await tags()).toEqual(['theirs', 'v1'])
  })

  it('removes manifests some time after their last tag, with what refers to them', async () => {
    const { clock, content, image, index, tag, run, expired } = await open([
      { tags: 'v*', keepLast: 1 },
      { untaggedAfterMs: 2 * DAY_MS }
    ])
    const [part, kept] = [await image('part'), await image('kept')]
    const first = await index(part)
    const signature = await image('signature', first)
    await tag('v1', first)
    clock.now += DAY_MS
    await tag('v2', kept)
    clock.now += 9 * DAY_MS
    expect(await run()).toMatchObject({ tags: ['v1'], manifests: [] })
    clock.now += 2 * DAY_MS - 1
    expect((await run()).manifests).toEqual([])
    clock.now += 1
    const gone = [part.digest, first.digest, signature.digest].toSorted()
    expect((await run(true)).manifests.toSorted()).toEqual(gone)
    expect(expired).toEqual([])
    expect((await run()).manifests.toSorted()).toEqual(gone)
    expect(expired.toSorted()).toEqual(gone)
    expect((await content.repositories.manifests(repository)).map(({ digest }) => digest)).toEqual([kept.digest])
    expect(await content.repositories.hasBlob(repository, part.digest)).toBe(false)
  })

  it('removes no manifest while it can not be known what a tag needs', async () => {
    const { clock, content, image, index, tag, run } = await open([{ untaggedAfterMs: DAY_MS }])
    const part = await image('part')
    const whole = await index(part)
    await tag('v1', whole)
    await content.blobs.delete(whole.digest)
    await image('old')
    clock.now += 9 * DAY_MS
    const { manifests, spared } = await run()
    expect(manifests).toEqual([])
    expect(spared).toEqual([{ reference: repository, reason: expect.stringContaining(whole.digest) }])
  })

  it('takes turns with pushes, so that what an index just named stays', async () => {
    const { clock, content, seed, image, index, tag, run } = await open([{ untaggedAfterMs: DAY_MS }])
    const part = await image('part')
    clock.now += 9 * DAY_MS
    const pushing = Promise.withResolvers<void>()
    // As a push does: it holds the turn of the repository from its look at the parts until the index is here.
    const push = seed.authority.exclusively(repository, async () => {
      await pushing.promise
      await tag('v1', await index(part))
    })
    const removal = run()
    await new Promise((resolve) => setTimeout(resolve, 50))
    pushing.resolve()
    await push
    expect((await removal).manifests).toEqual([])
    expect(await content.repositories.manifest(repository, part.digest)).toBeDefined()
  })

  it('stops in the middle when it has to, and says so', async () => {
    const { image, tag, clock, retention, tags } = await open([{ keepYoungerThanMs: 1 }])
    await tag('v1', await image('a'))
    clock.now += DAY_MS
    expect(await retention.run({ dryRun: false, signal: AbortSignal.abort() })).toMatchObject({
      complete: false,
      tags: []
    })
    expect(await tags()).toEqual(['v1'])
  })
})
