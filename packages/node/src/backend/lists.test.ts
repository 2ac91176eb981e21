import { digestOf, MEDIA_TYPE, mirroredRepository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { MirroredLists } from '../mirror/mirrored-lists.ts'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { Lists, type ListsComponents } from './lists.ts'

const repository = mirroredRepository('docker.io', 'library/app')
const subject = digestOf(Buffer.from('one'))
const descriptor = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  mediaType: MEDIA_TYPE.ociManifest,
  size: text.length
})
const signal = () => AbortSignal.timeout(120_000)

/** Lists of a node whose seed and store know these. */
function makeLists(upstream: FakeUpstream, repositories: string[] = []) {
  const parts = {
    content: {
      tags: { list: async () => ['kept'] },
      repositories: {
        list: async ({ after = '', limit }: { after?: string; limit: number }) =>
          repositories.filter((name) => name > after).slice(0, limit),
        exists: async () => true,
        referrers: async () => [descriptor('kept')]
      }
    },
    client: {
      listTags: async () => ({ names: ['of seed'], authoritative: true }),
      listReferrers: async () => ({ descriptors: Buffer.from('[]'), authoritative: true })
    },
    router: {
      ask: async (_: unknown, question: (seed: string) => unknown) => [await question('seed')],
      askAnySeed: async () => [],
      isAuthority: () => false
    },
    isSeed: true,
    mirrored: new MirroredLists({ mirrors: mirrorsOf(upstream), log: { debug: () => {} } })
  }
  return new Lists(parts as unknown as ListsComponents)
}

describe('lists of a mirrored repository', () => {
  it('are those of its registry, with the referrers that are here besides', async () => {
    const upstream = new FakeUpstream()
    upstream.tag('library/app:1', Buffer.from('one'))
    upstream.referring.push(descriptor('signature'))
    const lists = makeLists(upstream)
    expect(await lists.tags(repository, { limit: 10 }, signal())).toEqual(['1'])
    const referrers = await lists.referrers(repository, subject, signal())
    expect(referrers.map(({ size }) => size)).toEqual(
      [...[descriptor('signature'), descriptor('kept')]]
        .sort((a, b) => (a.digest < b.digest ? -1 : 1))
        .map(({ size }) => size)
    )
  })

  it('are what a seed has of them, when the registry does not answer here', async () => {
    const upstream = new FakeUpstream()
    upstream.failing = 'UNREACHABLE'
    expect(await makeLists(upstream).tags(repository, { limit: 10 }, signal())).toEqual(['of seed'])
  })
})

it('the list of all repositories has the mesh’s own alone, page by page', async () => {
  const mirrored = ['docker.io/library/a', 'docker.io/library/b', 'docker.io/library/c']
  const lists = makeLists(new FakeUpstream(), ['app', ...mirrored, 'team/x', 'team/y'])
  expect(await lists.repositories({ limit: 2 }, signal())).toEqual(['app', 'team/x'])
  expect(await lists.repositories({ limit: 2, after: 'team/x' }, signal())).toEqual(['team/y'])
  expect(await lists.repositories({ limit: 10 }, signal())).toEqual(['app', 'team/x', 'team/y'])
})
