import { type Digest, digestOf, OciError, ownRepository, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import type { TagRecord } from '@layermesh/trust'
import { expect, it } from 'vitest'
import { recordOfTagChange, recordsOfPassedOn } from '../audit/records.ts'
import { toPassedOnEvents, toTagEvent } from './tag-events.ts'

const SEED = 'seed'
const digest = (text: string): Digest => digestOf(Buffer.from(text))
const name = { repository: ownRepository('team/app'), tag: parseTag('1') }
const times = { issuedAt: 1, expiresAt: 2 }
const meaning = (text: string, sequence: number): TagRecord => ({
  ...name,
  ...times,
  digest: digest(text),
  mediaType: 'application/json',
  size: 7,
  sequence
})
const tombstone = (sequence: number): TagRecord => ({ ...name, ...times, deleted: true, sequence })
const byAlice = { caller: { ...OPEN_CALLER, name: 'alice' }, node: SEED }

it.each([
  ['a new tag', undefined, meaning('a', 1), 'tag.set', {}],
  ['a tag that means what it meant', meaning('a', 1), meaning('a', 1), 'tag.set', {}],
  ['a tag that moved', meaning('a', 1), meaning('b', 2), 'tag.moved', { previousDigest: digest('a') }],
  ['a tag that was deleted once', tombstone(1), meaning('a', 2), 'tag.restored', {}]
] as const)('tells of %s', (_what, before, record, event, more) => {
  expect(toTagEvent({ before, record, author: byAlice }, SEED)).toStrictEqual({
    name: event,
    data: {
      ...name,
      digest: 'digest' in record ? record.digest : undefined,
      mediaType: 'application/json',
      size: 7,
      tagSequence: record.sequence,
      actor: 'alice',
      ...more
    }
  })
})

it('tells of a deletion, and of the node that it came through', () => {
  const change = { before: meaning('a', 1), record: tombstone(2), author: { caller: OPEN_CALLER, node: 'node' } }
  const event = toTagEvent(change, SEED)
  expect(event).toStrictEqual({
    name: 'tag.deleted',
    data: { ...name, previousDigest: digest('a'), tagSequence: 2, via: 'node' }
  })
  expect(recordOfTagChange(event)).toStrictEqual({
    action: 'tag.deleted',
    result: 'allowed',
    repository: 'team/app',
    reference: '1',
    via: 'node',
    details: { previousDigest: digest('a'), tagSequence: 2 }
  })
})

const { repository } = name
const manifest = { digest: digest('a'), mediaType: 'application/json', size: 7 }
const passedOn = (write: Parameters<typeof toPassedOnEvents>[0]['write']) => ({ from: 'node', actor: 'alice', write })

it('tells of a push that a node passed on, for each tag', () => {
  const tags = [parseTag('1'), parseTag('2')]
  const data = { repository, ...manifest, via: 'node', actor: 'alice' }
  expect(toPassedOnEvents(passedOn({ push: { repository, manifest, tags } }))).toStrictEqual([
    { name: 'manifest.pushed', data: { ...data, tag: '1' } },
    { name: 'manifest.pushed', data: { ...data, tag: '2' } }
  ])
  expect(toPassedOnEvents(passedOn({ push: { repository, manifest, tags: [] } }))).toStrictEqual([
    { name: 'manifest.pushed', data }
  ])
})

it('tells of deletions that a node passed on, and nothing twice of tags', () => {
  const eventsOf = (kind: 'tag' | 'manifest' | 'blob', reference: string) =>
    toPassedOnEvents(passedOn({ deletion: { repository, kind, reference } })).map((event) => event.name)
  expect(eventsOf('manifest', digest('a'))).toEqual(['manifest.deleted'])
  expect(eventsOf('blob', digest('a'))).toEqual(['blob.deleted'])
  expect(eventsOf('tag', '1')).toEqual([])
})

it('has the audit log tell why a node was refused', () => {
  const push = passedOn({ push: { repository, manifest, tags: [parseTag('1')] } })
  const denied = { ...push, error: new OciError('DENIED', 'alice may not push') }
  expect(recordsOfPassedOn(denied)).toMatchObject([
    { action: 'push', result: 'denied', reason: 'alice may not push', via: 'node', actor: 'alice', reference: '1' }
  ])
  const unknown = { ...push, error: new OciError('UNAUTHORIZED', 'log in to do this') }
  expect(recordsOfPassedOn(unknown)).toMatchObject([{ result: 'denied' }])
  const failed = { ...push, error: new Error('/etc/passwd') }
  expect(recordsOfPassedOn(failed)).toMatchObject([{ result: 'failed', reason: expect.not.stringContaining('/etc') }])
})
