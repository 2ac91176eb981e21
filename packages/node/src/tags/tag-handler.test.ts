import { digestOf, mirroredRepository, parseTag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { NodeTagHandler, type NodeTagHandlerComponents } from './tag-handler.ts'
import type { AcceptedTag } from './tag-records.ts'
import type { UpstreamWord } from './upstream-tags.ts'

const repository = mirroredRepository('docker.io', 'library/app')
const tag = parseTag('1')
const envelope = Buffer.from('signed')
const record = {
  repository,
  tag,
  sequence: 1,
  issuedAt: 5,
  expiresAt: 9,
  digest: digestOf(envelope),
  mediaType: 'a/b',
  size: 1
}
const known: AcceptedTag = { record, envelope, signer: 'seed', confirmedAt: 7 }
const OTHER_SEED = 'other seed'

/** A seed for a registry that says this. */
function makeHandler(word: UpstreamWord) {
  const asked: string[] = []
  const parts = {
    authority: { isAuthority: () => true, current: async () => known },
    records: { get: async () => known },
    others: { include: (peerId: string) => peerId === OTHER_SEED, refresh: async () => {} },
    upstream: {
      current: async () => {
        asked.push('registry')
        return word
      }
    },
    router: { isAuthority: () => true },
    lists: { localTags: async () => ['here'], tagsForNode: async () => ['there'] }
  }
  return { handler: new NodeTagHandler(parts as unknown as NodeTagHandlerComponents), asked }
}

const page = { limit: 10 }

describe('a seed that a peer asks for a mirrored tag', () => {
  it('gives the word of its registry', async () => {
    const { handler } = makeHandler({ tag: known, heard: true, asked: true })
    expect(await handler.resolve('node', repository, tag)).toEqual({ envelope, confirmedAt: 7, authoritative: true })
    const none = makeHandler({ tag: undefined, heard: true, asked: true })
    expect(await none.handler.resolve('node', repository, tag)).toEqual({ confirmedAt: 0, authoritative: true })
  })

  it('gives what it knows, as old as it is, when its registry does not answer', async () => {
    const { handler } = makeHandler({ tag: known, heard: false, asked: true })
    expect(await handler.resolve('node', repository, tag)).toEqual({ envelope, confirmedAt: 7, authoritative: true })
  })

  it('has no say when it neither knows it nor hears from its registry', async () => {
    const { handler } = makeHandler({ tag: undefined, heard: false, asked: true })
    expect(await handler.resolve('node', repository, tag)).toEqual({ confirmedAt: 0, authoritative: false })
  })

  it('tells another seed what is here, and asks no registry for it', async () => {
    const { handler, asked } = makeHandler({ tag: undefined, heard: false, asked: true })
    expect(await handler.resolve(OTHER_SEED, repository, tag)).toMatchObject({ envelope })
    expect(await handler.listTags(OTHER_SEED, repository, page)).toMatchObject({ names: ['here'] })
    expect(asked).toEqual([])
    expect(await handler.listTags('node', repository, page)).toMatchObject({ names: ['there'] })
  })
})
