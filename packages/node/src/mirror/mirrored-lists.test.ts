import { digestOf, MEDIA_TYPE, mirroredRepository, ownRepository } from '@layermesh/oci'
import { beforeEach, describe, expect, it } from 'vitest'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { MirroredLists } from './mirrored-lists.ts'

const repository = mirroredRepository('docker.io', 'library/app')
const subject = digestOf(Buffer.from('one'))
const referrer = { digest: digestOf(Buffer.from('signature')), mediaType: MEDIA_TYPE.ociManifest, size: 9 }

let upstream: FakeUpstream
beforeEach(() => {
  upstream = new FakeUpstream()
  upstream.tag('library/app:1', Buffer.from('one'))
})

const makeLists = (referrersMs = 60_000) =>
  new MirroredLists({ mirrors: mirrorsOf(upstream), log: { debug: () => {} } }, { referrersMs })

describe('the tags of a mirrored repository', () => {
  it('are those at its registry', async () => {
    expect(await makeLists().tags(repository, { limit: 10 })).toEqual(['1'])
  })

  it('are unknown when the registry has no such repository, or does not answer', async () => {
    expect(await makeLists().tags(mirroredRepository('docker.io', 'other'), { limit: 10 })).toBeUndefined()
    upstream.failing = 'RATE_LIMITED'
    expect(await makeLists().tags(repository, { limit: 10 })).toBeUndefined()
  })

  it('are unknown when the registry takes too long', async () => {
    upstream.listTags = (_name, _page, { signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const lists = new MirroredLists({ mirrors: mirrorsOf(upstream), log: { debug: () => {} } }, { deadlineMs: 10 })
    expect(await lists.tags(repository, { limit: 10 })).toBeUndefined()
  })
})

describe('what refers to a mirrored manifest', () => {
  it('is what its registry says, which is asked once in a while', async () => {
    upstream.referring.push(referrer)
    const lists = makeLists()
    expect(await lists.referrers(repository, subject)).toEqual([referrer])
    expect(await lists.referrers(repository, subject)).toEqual([referrer])
    expect(upstream.asked).toHaveLength(1)
  })

  it('is what its registry said last, while that does not answer', async () => {
    upstream.referring.push(referrer)
    const lists = makeLists(0)
    await lists.referrers(repository, subject)
    upstream.failing = 'UNREACHABLE'
    expect(await lists.referrers(repository, subject)).toEqual([referrer])
    expect(await makeLists().referrers(repository, subject)).toBeUndefined()
  })
})

it('the mesh’s own repositories are nobody else’s to list', async () => {
  const lists = makeLists()
  expect([lists.covers(repository), lists.covers(ownRepository('team/app'))]).toEqual([true, false])
})
