import type { ListPage } from '@layermesh/mesh'
import { digestOf, MEDIA_TYPE, mirroredRepository, ownRepository, parseTag, type Repository } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { TrustPolicy } from '@layermesh/trust'
import { expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { makeSeed } from '../testing/tag-seeds.ts'
import { SeedSync, type SeedSyncComponents } from './seed-sync.ts'

const author = { caller: OPEN_CALLER, node: 'node' }
const manifest = { digest: digestOf(Buffer.from('a')), mediaType: MEDIA_TYPE.ociManifest, size: 1 }
const [older, newer] = [await makeIdentity(), await makeIdentity()]
const signal = new AbortController().signal
const page = (names: readonly string[], { after = '', limit }: ListPage) => ({
  names: names.filter((name) => name > after).slice(0, limit),
  authoritative: true
})

async function makePair(tags: Readonly<Record<string, readonly string[]>>) {
  const trust = new TrustPolicy([{ peerId: older.peerId }, { peerId: newer.peerId, repositories: ['team/**'] }])
  const old = makeSeed(older.privateKey, { trust })
  const fresh = makeSeed(newer.privateKey, { trust })
  for (const [repository, names] of Object.entries(tags)) {
    for (const name of names) await old.authority.set(repository as Repository, parseTag(name), manifest, author)
  }
  let resolved = 0
  const client: SeedSyncComponents['client'] = {
    listRepositories: async (_peer, wanted) => page([...Object.keys(tags), '../evil', 'UPPER'].sort(), wanted),
    listTags: async (_peer, repository, wanted) => page([...(tags[repository] ?? [])].sort(), wanted),
    resolve: async (_peer, repository, tag) => {
      resolved++
      const known = await old.records.get(repository, tag)
      return { confirmedAt: 0, authoritative: true, ...(known && { envelope: known.envelope }) }
    }
  }
  const connected = () => [older.peerId]
  const sync = new SeedSync({ peerId: newer.peerId, trust, client, records: fresh.records, connected }, { pauseMs: 0 })
  return { sync, fresh, resolved: () => resolved }
}

it('learns all tags of another seed that it may sign for, page by page, and asks for what it knows no more', async () => {
  // More than a page; each is signed and verified.
  const many = Array.from({ length: 1_050 }, (_, i) => `v${i}`)
  const mirrored = mirroredRepository('docker.io', 'nginx')
  const { sync, fresh, resolved } = await makePair({ 'team/app': many, 'other/app': ['1'], [mirrored]: [] })
  await sync.run(signal)
  expect(resolved()).toBe(many.length)
  for (const name of ['v0', 'v500', 'v1049'])
    expect(await fresh.records.get(ownRepository('team/app'), parseTag(name))).toMatchObject({ signer: older.peerId })
  expect(await fresh.records.get(ownRepository('other/app'), parseTag('1'))).toBeUndefined()
  await sync.run(signal)
  expect(resolved()).toBe(many.length)
}, 120_000)

it('is not kept busy by a list without end, nor stopped by a seed that fails', async () => {
  const { fresh } = await makePair({})
  const trust = new TrustPolicy([{ peerId: older.peerId }, { peerId: newer.peerId }])
  let asked = 0
  const client: SeedSyncComponents['client'] = {
    listRepositories: async () => {
      asked++
      return { names: Array(1_000).fill('team/app'), authoritative: true }
    },
    listTags: async () => {
      throw new Error('no answer')
    },
    resolve: () => Promise.reject(new Error('no answer'))
  }
  const sync = new SeedSync({
    peerId: newer.peerId,
    trust,
    client,
    records: fresh.records,
    connected: () => [older.peerId]
  })
  await sync.run(signal)
  const endless = new SeedSync({
    peerId: newer.peerId,
    trust,
    client: { ...client, listTags: async () => ({ names: [], authoritative: true }) },
    records: fresh.records,
    connected: () => [older.peerId]
  })
  await endless.run(signal)
  expect(asked).toBe(3)
})
