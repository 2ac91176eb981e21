import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openContentStore } from '@layermesh/content'
import type { PushRequest, TagClient } from '@layermesh/mesh'
import { type Digest, digestOf, MEDIA_TYPE, OciError, ownRepository, parseTag } from '@layermesh/oci'
import type { Caller, RegistryAccess } from '@layermesh/registry'
import { peerIdOf, sealTagRecord, TrustPolicy } from '@layermesh/trust'
import { expect, it, onTestFinished } from 'vitest'
import { ImmutableTags } from '../tags/immutable-tags.ts'
import { NodeTagHandler } from '../tags/tag-handler.ts'
import { TagHistory } from '../tags/tag-history.ts'
import { makeIdentity } from '../testing/notices.ts'
import { callerWho, makeSeed } from '../testing/tag-seeds.ts'
import { Deletions } from './deletions.ts'
import { Lists } from './lists.ts'
import { PushService } from './push-service.ts'
import { SeedRouter } from './seed-router.ts'

const repository = ownRepository('team/app')
const [v1, latest] = [parseTag('v1'), parseTag('latest')]
const { privateKey: key } = await makeIdentity()
const stolen = await makeIdentity()
const signal = AbortSignal.timeout(60_000)
const denied = expect.objectContaining({ code: 'DENIED' })

const CALLERS: Readonly<Record<string, Caller>> = {
  'Bearer creator': callerWho('creator', 'create'),
  'Bearer updater': callerWho('updater', 'update'),
  'Bearer deleter': callerWho('deleter', 'delete'),
  'Bearer reader': callerWho('reader', 'pull'),
  'Bearer all': callerWho('all', 'create', 'update', 'delete')
}

/** Knows callers by their credential; the node that passed the request on is asked nothing. */
const access: Pick<RegistryAccess, 'identify'> = {
  identify: async ({ authorization }) => {
    if (authorization === undefined) return callerWho(undefined)
    const caller = CALLERS[authorization]
    if (!caller) throw new OciError('UNAUTHORIZED', 'the credential is wrong')
    return caller
  }
}

/** What a seed answers nodes, over a store that holds all that is pushed to it already. */
async function makeSeedNode(immutable = new ImmutableTags([])) {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-seed-'))
  const content = await openContentStore(directory)
  onTestFinished(async () => {
    await content.close()
    await rm(directory, { recursive: true, force: true })
  })
  const peerId = peerIdOf(key)
  const trust = new TrustPolicy([{ peerId }, { peerId: stolen.peerId }])
  const { authority, records } = makeSeed(key, { tags: content.tags, trust, immutable })
  const unreachable = new Proxy({}, { get: () => () => Promise.reject(new Error('can not be reached')) }) as TagClient
  const router = new SeedRouter({
    peerId,
    trust: new TrustPolicy([{ peerId }]),
    client: unreachable,
    connected: () => [],
    confirm: async () => []
  })
  let fetched = 0
  const pushes = new PushService({
    peerId,
    content,
    router,
    authority,
    records,
    immutable,
    fetch: async (digest) => {
      fetched++
      return await content.blobs.open(digest)
    },
    holdsWithin: async () => true,
    announce: () => {},
    permits: { pushes: true }
  })
  const others = { include: () => false, refresh: async () => {} }
  const deletions = new Deletions({ peerId, content, router, authority, immutable, others, permitted: true })
  const lists = new Lists({ content, client: unreachable, router, isSeed: true })
  const handler = new NodeTagHandler({
    content,
    authority,
    records,
    others,
    router,
    lists,
    pushes,
    deletions,
    access,
    zones: undefined,
    tokens: undefined
  })

  const put = async (text: string) => {
    const bytes = Buffer.from(text)
    await content.blobs.put(digestOf(bytes), bytes)
    return { digest: digestOf(bytes), size: bytes.byteLength }
  }
  const image = async (text: string) => {
    const config = { mediaType: MEDIA_TYPE.ociConfig, ...(await put('{}')) }
    const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, ...(await put(text)) }
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] }
    return { mediaType: MEDIA_TYPE.ociManifest, ...(await put(JSON.stringify(manifest))), layer: layer.digest }
  }
  const index = async (child: { digest: Digest; size: number; mediaType: string }) => {
    const { digest, size, mediaType } = child
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [{ digest, size, mediaType }] }
    return { mediaType: MEDIA_TYPE.ociIndex, ...(await put(JSON.stringify(manifest))) }
  }
  const push = (
    manifest: { digest: Digest; size: number; mediaType: string },
    tags: PushRequest['tags'],
    credential?: string
  ) => {
    const { digest, size, mediaType } = manifest
    const shown = credential === undefined ? {} : { credential }
    return handler.push('node', { repository, manifest: { digest, size, mediaType }, tags, ...shown }, signal)
  }
  const remove = (kind: 'tag' | 'manifest' | 'blob', reference: string, credential?: string) =>
    handler.delete('node', { repository, kind, reference, ...(credential && { credential }) }, signal)
  const history = new TagHistory({ peerId, content, authority, immutable, trust })
  return { content, records, trust, push, remove, image, index, history, fetched: () => fetched }
}

it('a push that a node passes on counts as whoever the credential proves, not as what the node says', async () => {
  const { push, image, records, history } = await makeSeedNode()
  const [a, b] = [await image('a'), await image('b')]
  await expect(push(a, [latest])).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await expect(push(a, [latest], 'Bearer forged')).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await expect(push(a, [latest], 'Bearer reader')).rejects.toEqual(denied)
  await expect(push(a, [latest], 'Bearer updater')).rejects.toEqual(denied)
  expect(await records.get(repository, latest)).toBeUndefined()
  expect(await push(a, [latest], 'Bearer creator')).toHaveLength(1)
  await expect(push(b, [latest], 'Bearer creator')).rejects.toEqual(denied)
  await push(b, [latest], 'Bearer updater')
  const entries = await history.list(repository, latest, { limit: 9 })
  expect(entries.map(({ actor, node, digest }) => [actor, node, digest])).toEqual([
    ['updater', 'node', b.digest],
    ['creator', 'node', a.digest]
  ])
})

it('nothing is fetched for a push that will be refused', async () => {
  const { push, image, fetched } = await makeSeedNode()
  const a = await image('a')
  await expect(push(a, [latest], 'Bearer reader')).rejects.toEqual(denied)
  await expect(push(a, [], 'Bearer deleter')).rejects.toEqual(denied)
  expect(fetched()).toBe(0)
})

it('a deletion that a node passes on needs the right to delete', async () => {
  const { push, remove, image, content } = await makeSeedNode()
  const a = await image('a')
  await push(a, [latest, v1], 'Bearer all')
  for (const [kind, reference] of [
    ['tag', 'latest'],
    ['manifest', a.digest],
    ['blob', a.layer]
  ] as const) {
    await expect(remove(kind, reference)).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
    await expect(remove(kind, reference, 'Bearer creator')).rejects.toEqual(denied)
  }
  expect(await content.tags.list(repository, { limit: 9 })).toEqual(['latest', 'v1'])
  expect(await remove('tag', 'latest', 'Bearer deleter')).toBe(true)
  expect(await remove('manifest', a.digest, 'Bearer deleter')).toBe(true)
  expect(await content.tags.list(repository, { limit: 9 })).toEqual([])
  expect(await content.repositories.manifest(repository, a.digest)).toBeUndefined()
})

it('an immutable tag stays what it is against pushes of many tags at once, and against the deletion of its parts', async () => {
  const { push, remove, image, index, content, records } = await makeSeedNode(
    new ImmutableTags([{ repositories: 'team/**', tags: 'v*' }])
  )
  const [a, b] = [await image('a'), await image('b')]
  const list = await index(a)
  await push(a, [], 'Bearer all')
  await push(list, [v1], 'Bearer all')
  await expect(push(b, [latest, v1], 'Bearer all')).rejects.toEqual(denied)
  expect(await records.get(repository, latest)).toBeUndefined()
  for (const [kind, reference] of [
    ['tag', 'v1'],
    ['manifest', list.digest],
    ['manifest', a.digest],
    ['blob', a.layer],
    ['blob', list.digest]
  ] as const) {
    await expect(remove(kind, reference, 'Bearer all')).rejects.toEqual(denied)
  }
  expect((await records.get(repository, v1))?.record).toMatchObject({ digest: list.digest })
  expect(await content.repositories.hasBlob(repository, a.layer)).toBe(true)
  await push(list, [v1, latest], 'Bearer creator')
  await push(b, [latest], 'Bearer all')
  expect(await remove('manifest', b.digest, 'Bearer all')).toBe(true)
})

it('a manifest that is deleted while an immutable tag is set to it is either still there or not tagged', async () => {
  const { push, remove, image, content, records } = await makeSeedNode(
    new ImmutableTags([{ repositories: '**', tags: '*' }])
  )
  for (let round = 0; round < 20; round++) {
    const a = await image(`layer ${round}`)
    const tag = parseTag(`v${round}`)
    await push(a, [], 'Bearer all')
    const acts = [() => push(a, [tag], 'Bearer all'), () => remove('manifest', a.digest, 'Bearer all')]
    await Promise.allSettled((round % 2 === 0 ? acts : acts.reverse()).map((act) => act()))
    const tagged = (await records.get(repository, tag)) !== undefined
    if (tagged) expect(await content.repositories.manifest(repository, a.digest)).toBeDefined()
  }
})

it('the operator brings back what a tag meant, by sequence or digest, also once it was deleted', async () => {
  const { push, remove, image, history, records } = await makeSeedNode()
  const [a, b] = [await image('a'), await image('b')]
  await push(a, [latest], 'Bearer all')
  await push(b, [latest], 'Bearer all')
  const first = (await history.list(repository, latest, { limit: 9 })).at(-1)
  expect(await history.restore(repository, latest, { sequence: first?.sequence ?? 0 })).toBe(a.digest)
  expect((await records.get(repository, latest))?.record).toMatchObject({ digest: a.digest })
  await remove('tag', 'latest', 'Bearer all')
  await history.restore(repository, latest, { digest: b.digest })
  const [newest] = await history.list(repository, latest, { limit: 1 })
  expect(newest).toMatchObject({ actor: 'admin', digest: b.digest })

  await expect(history.restore(repository, latest, { sequence: 1 })).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' })
  const never = digestOf(Buffer.from('never'))
  await expect(history.restore(repository, latest, { digest: never })).rejects.toMatchObject({
    code: 'MANIFEST_UNKNOWN'
  })
  await remove('manifest', a.digest, 'Bearer all')
  await expect(history.restore(repository, latest, { digest: a.digest })).rejects.toMatchObject({
    message: expect.stringMatching(/push it again$/)
  })
})

it('the operator brings back at once all that a stolen key has moved', async () => {
  const { push, remove, image, history, records, trust } = await makeSeedNode()
  const [good, evil] = [await image('good'), await image('evil')]
  await push(evil, [], 'Bearer all')
  const tags = Array.from({ length: 5 }, (_, i) => parseTag(`v${i}`))
  for (const tag of tags) await push(good, [tag], 'Bearer all')
  await remove('tag', 'v4', 'Bearer all')
  await new Promise((resolve) => setTimeout(resolve, 5))
  const before = Date.now()
  for (const tag of [...tags, latest]) {
    const { digest, mediaType, size } = evil
    // Dated back to before the theft, which must not help.
    const issuedAt = before - 3_600_000
    const statement = { repository, tag, sequence: 2 ** 30, issuedAt, expiresAt: issuedAt + 24 * 3_600_000 }
    const envelope = await sealTagRecord({ ...statement, digest, mediaType, size }, stolen.privateKey)
    expect(await records.take(envelope, 'thief', 'hearsay')).toBeDefined()
  }
  await expect(history.recover(stolen.peerId, before, signal)).rejects.toMatchObject({
    message: expect.stringMatching(/revoke it first/)
  })
  trust.useSeedSet({ seeds: [], revoked: [stolen.peerId] }, true)
  expect(await history.recover(stolen.peerId, before, signal)).toEqual({
    restored: 4,
    failed: [
      { reference: 'team/app:latest', reason: 'no change before that time is remembered' },
      { reference: 'team/app:v4', reason: 'the tag was deleted at that time' }
    ],
    failures: 2,
    complete: true
  })
  for (const tag of tags.slice(0, 4))
    expect((await records.get(repository, tag))?.record).toMatchObject({ digest: good.digest })
  for (const tag of [latest, parseTag('v4')]) expect(await records.get(repository, tag)).toBeUndefined()
  expect(await history.recover(stolen.peerId, before, signal)).toMatchObject({ restored: 0, failures: 2 })
})
