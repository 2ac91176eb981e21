import { digestOf, MEDIA_TYPE, ownRepository, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { peerIdOf, sealTagRecord, TrustPolicy } from '@layermesh/trust'
import { describe, expect, it } from 'vitest'
import { MemoryTags } from '../testing/memory-tags.ts'
import { makeIdentity } from '../testing/notices.ts'
import { callerWho, makeSeed } from '../testing/tag-seeds.ts'
import { ImmutableTags } from './immutable-tags.ts'
import type { TagChange } from './tag-authority.ts'
import { meaningOf } from './tag-records.ts'

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const repository = ownRepository('team/app')
const tag = parseTag('v1')
const manifest = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  mediaType: MEDIA_TYPE.ociManifest,
  size: text.length
})
const by = (caller = OPEN_CALLER, node = 'node') => ({ caller, node })
const creator = by(callerWho('carol', 'create'))
const updater = by(callerWho('dave', 'update'))
const { privateKey: key } = await makeIdentity()

const denied = expect.objectContaining({ code: 'DENIED' })

describe('who may change a tag', () => {
  it('creates what was never there with the right to create, and only that', async () => {
    const { authority } = makeSeed(key)
    await expect(authority.set(repository, tag, manifest('a'), updater)).rejects.toEqual(denied)
    await authority.set(repository, tag, manifest('a'), creator)
    await expect(authority.set(repository, tag, manifest('b'), creator)).rejects.toMatchObject({
      code: 'DENIED',
      message: 'carol may not update the tag v1 of team/app'
    })
    await authority.set(repository, tag, manifest('b'), updater)
  })

  it('is asked for the right to create again once the tag was deleted', async () => {
    const { authority } = makeSeed(key)
    await authority.set(repository, tag, manifest('a'), by())
    await authority.remove(repository, tag, by())
    await expect(authority.set(repository, tag, manifest('b'), updater)).rejects.toEqual(denied)
    await authority.set(repository, tag, manifest('b'), creator)
  })

  it('signs nothing for a push of what the tag means already, whoever pushes it', async () => {
    const { authority, published } = makeSeed(key)
    const signed = await authority.set(repository, tag, manifest('a'), creator)
    expect(await authority.set(repository, tag, manifest('a'), by(callerWho('eve', 'create')))).toEqual(signed)
    expect(await authority.set(repository, tag, manifest('a'), updater)).toEqual(signed)
    expect(published).toHaveLength(1)
  })

  it('lets one of many who may only create, and push at once, create it, and nobody overwrite it', async () => {
    const { authority, records, tags } = makeSeed(key)
    const pushes = Array.from({ length: 50 }, (_, i) =>
      authority.set(repository, tag, manifest(`m${i}`), by(callerWho(`user${i}`, 'create')))
    )
    const results = await Promise.allSettled(pushes)
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(denied)
    const winner = results.findIndex(({ status }) => status === 'fulfilled')
    expect((await records.get(repository, tag))?.record).toMatchObject(manifest(`m${winner}`))
    expect(await tags.history(repository, tag, { limit: 99 })).toHaveLength(1)
  })

  it('tells the anonymous to log in', async () => {
    const { authority } = makeSeed(key)
    await expect(authority.set(repository, tag, manifest('a'), by(callerWho(undefined)))).rejects.toMatchObject({
      code: 'UNAUTHORIZED'
    })
  })

  it('judges early what it would judge in the end', async () => {
    const { authority } = makeSeed(key)
    await authority.judge(repository, tag, manifest('a').digest, creator.caller)
    await authority.set(repository, tag, manifest('a'), creator)
    await authority.judge(repository, tag, manifest('a').digest, creator.caller)
    await expect(authority.judge(repository, tag, manifest('b').digest, creator.caller)).rejects.toEqual(denied)
  })
})

describe('an immutable tag', () => {
  const immutable = new ImmutableTags([{ repositories: 'team/*', tags: 'v*' }])

  it('is set once, and neither moved nor deleted, by whoever it is', async () => {
    const { authority, records } = makeSeed(key, { immutable })
    await authority.set(repository, tag, manifest('a'), by())
    await expect(authority.set(repository, tag, manifest('b'), by())).rejects.toMatchObject({
      code: 'DENIED',
      message: expect.stringMatching(/^the tag v1 is immutable/)
    })
    await expect(authority.remove(repository, tag, by())).rejects.toEqual(denied)
    await authority.set(repository, tag, manifest('a'), by())
    expect((await records.get(repository, tag))?.record).toMatchObject(manifest('a'))
  })

  it('is only one that a pattern covers', async () => {
    const { authority } = makeSeed(key, { immutable })
    const latest = parseTag('latest')
    const elsewhere = ownRepository('other/app')
    for (const [where, what] of [
      [repository, latest],
      [elsewhere, tag]
    ] as const) {
      await authority.set(where, what, manifest('a'), by())
      await authority.set(where, what, manifest('b'), by())
      await authority.remove(where, what, by())
    }
  })

  it('keeps what the first of many pushes at one time made it mean', async () => {
    const { authority, tags } = makeSeed(key, { immutable })
    const pushes = ['a', 'b', 'c', 'd'].map((text) => authority.set(repository, tag, manifest(text), by()))
    const results = await Promise.allSettled(pushes)
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected'])
    expect(await tags.history(repository, tag, { limit: 9 })).toHaveLength(1)
  })

  it('means again what it meant when the operator says so', async () => {
    const { authority, records } = makeSeed(key, { immutable })
    await authority.set(repository, tag, manifest('a'), by())
    await authority.restore(repository, tag, manifest('b'), by())
    expect((await records.get(repository, tag))?.record).toMatchObject(manifest('b'))
  })
})

it('hears of it when its key signs elsewhere', async () => {
  const [seed, thief] = [makeSeed(key), makeSeed(key)]
  await seed.authority.set(repository, tag, manifest('a'), by())
  await thief.authority.set(repository, tag, manifest('x'), by())
  await thief.authority.set(repository, tag, manifest('y'), by())
  for (const envelope of [...seed.published, ...thief.published]) await seed.records.take(envelope, 'peer', 'hearsay')
  expect(seed.foreignUses).toEqual([2 ** 20, 2 * 2 ** 20])
})

describe('the history of a tag', () => {
  it('tells who changed it when, from what to what, and by which node it came', async () => {
    let now = NOW
    const { authority, tags, peerId } = makeSeed(key, { now: () => now })
    await authority.set(repository, tag, manifest('a'), by(callerWho('alice', 'create'), 'node1'))
    now += HOUR
    await authority.set(repository, tag, manifest('b'), by(callerWho('bob', 'update'), 'node2'))
    now += 2 * HOUR
    await authority.current(repository, tag)
    await authority.remove(repository, tag, by(OPEN_CALLER, 'node3'))
    const [a, b] = [manifest('a').digest, manifest('b').digest]
    expect(await tags.history(repository, tag, { limit: 9 })).toEqual([
      { sequence: 3 * 2 ** 20, at: now, previous: b, node: 'node3', signer: peerId },
      { sequence: 2 * 2 ** 20, at: NOW + HOUR, digest: b, previous: a, actor: 'bob', node: 'node2', signer: peerId },
      { sequence: 2 ** 20, at: NOW, digest: a, actor: 'alice', node: 'node1', signer: peerId }
    ])
  })

  it('has what other seeds changed, and not what they renewed', async () => {
    const { privateKey: otherKey } = await makeIdentity()
    const other = makeSeed(otherKey)
    const trust = new TrustPolicy([{ peerId: other.peerId }])
    const { records, tags } = makeSeed(key, { trust, now: () => NOW })
    const statement = { repository, tag, issuedAt: NOW, expiresAt: NOW + HOUR }
    await records.take(await sealTagRecord({ ...statement, sequence: 5, ...manifest('a') }, otherKey), 'p', 'hearsay')
    await records.take(await sealTagRecord({ ...statement, sequence: 6, ...manifest('a') }, otherKey), 'p', 'hearsay')
    await records.take(await sealTagRecord({ ...statement, sequence: 7, deleted: true }, otherKey), 'p', 'hearsay')
    expect(await tags.history(repository, tag, { limit: 9 })).toEqual([
      { sequence: 7, at: NOW, previous: manifest('a').digest, signer: other.peerId },
      { sequence: 5, at: NOW, digest: manifest('a').digest, signer: other.peerId }
    ])
  })
})

describe('what a seed tells of a tag', () => {
  const summary = ({ before, record }: TagChange) => [before && meaningOf(before), meaningOf(record)]

  it('is each change with what was before, and again what a client repeats', async () => {
    const told: TagChange[] = []
    const { authority } = makeSeed(key, { onChange: async (change) => void told.push(change) })
    const [a, b] = [manifest('a'), manifest('b')]
    await authority.set(repository, tag, a, by())
    await authority.set(repository, tag, a, by())
    await authority.set(repository, tag, b, by())
    await authority.remove(repository, tag, by())
    await authority.restore(repository, tag, a, by())
    expect(told.map(summary)).toEqual([
      [undefined, a.digest],
      [a.digest, a.digest],
      [a.digest, b.digest],
      [b.digest, undefined],
      [undefined, a.digest]
    ])
  })

  it('is nothing where there was nothing to delete', async () => {
    const told: TagChange[] = []
    const { authority } = makeSeed(key, { onChange: async (change) => void told.push(change) })
    await authority.remove(repository, tag, by())
    await authority.set(repository, tag, manifest('a'), by())
    await authority.remove(repository, tag, by(), manifest('b').digest)
    await authority.remove(repository, tag, by())
    await authority.remove(repository, tag, by())
    expect(told.map(summary)).toEqual([
      [undefined, manifest('a').digest],
      [manifest('a').digest, undefined]
    ])
  })

  it('fails the change for whoever asked, when it could not be told', async () => {
    const onChange = () => Promise.reject(new Error('the disk is full'))
    const { authority } = makeSeed(key, { onChange })
    await expect(authority.set(repository, tag, manifest('a'), by())).rejects.toThrow('the disk is full')
  })
})

describe('tombstones', () => {
  const DAY = 24 * HOUR

  it('are signed anew until all that was signed before them has expired', async () => {
    let now = NOW
    const { authority, published } = makeSeed(key, { now: () => now })
    await authority.set(repository, tag, manifest('a'), by())
    await authority.set(repository, parseTag('kept'), manifest('a'), by())
    await authority.remove(repository, tag, by())
    now += 30 * DAY
    await authority.renewOld()
    expect(published).toHaveLength(5)
    now += DAY
    await authority.renewOld()
    expect(published).toHaveLength(6)
  })

  it('that were forgotten leave a sequence from which a tag goes on that is set anew, for those who remember them', async () => {
    const tags = new MemoryTags()
    const { authority, records } = makeSeed(key, { tags })
    await authority.set(repository, tag, manifest('a'), by())
    await authority.remove(repository, tag, by())
    const tombstone = await records.get(repository, tag)
    const elsewhere = makeSeed((await makeIdentity()).privateKey, {
      trust: new TrustPolicy([{ peerId: peerIdOf(key) }])
    })
    await elsewhere.records.take(tombstone?.envelope ?? new Uint8Array(), 'x', 'authority')
    tags.forget(repository, tag)
    expect(await records.get(repository, tag)).toBeUndefined()
    const envelope = await authority.set(repository, tag, manifest('b'), by())
    const taken = await elsewhere.records.take(envelope, 'x', 'authority')
    expect(taken && meaningOf(taken.record)).toBe(manifest('b').digest)
    expect(elsewhere.refused).toEqual([])
  })
})
