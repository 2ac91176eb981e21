import { digestOf, parseRepository, parseTag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import {
  decodeTagRequest,
  decodeTokenAnswer,
  encodeTagRequest,
  encodeTokenAnswer,
  type TagRequest
} from './messages.ts'

const repository = parseRepository('team/app')
const digest = digestOf(new Uint8Array())
const tooLong = 'x'.repeat(8_193)

describe('requests on behalf of clients', () => {
  it.each<TagRequest>([
    {
      op: 'push',
      push: {
        repository,
        manifest: { digest, mediaType: 'a/b', size: 1 },
        tags: [parseTag('1')],
        credential: 'Bearer abc'
      }
    },
    { op: 'push', push: { repository, manifest: { digest, mediaType: 'a/b', size: 1 }, tags: [] } },
    { op: 'delete', target: { repository, kind: 'tag', reference: '1', credential: 'Basic abc' } },
    { op: 'delete', target: { repository, kind: 'blob', reference: digest } },
    {
      op: 'authenticate',
      request: { authorization: 'Basic abc', scopes: ['repository:team/app:pull'], address: '::1' }
    }
  ])('come through as they were sent: %j', (request) => {
    expect(decodeTagRequest(encodeTagRequest(request))).toEqual(request)
  })

  it.each<[string, TagRequest]>([
    [
      'the credential of a deletion',
      { op: 'delete', target: { repository, kind: 'tag', reference: '1', credential: tooLong } }
    ],
    ['what a client showed', { op: 'authenticate', request: { authorization: tooLong, scopes: [], address: '' } }],
    ['an address', { op: 'authenticate', request: { authorization: '', scopes: [], address: 'x'.repeat(65) } }],
    [
      'a list of scopes',
      { op: 'authenticate', request: { authorization: '', scopes: Array(33).fill('a'), address: '' } }
    ]
  ])('are refused when %s is too long', (_what, request) => {
    expect(() => decodeTagRequest(encodeTagRequest(request))).toThrow(
      expect.objectContaining({ code: 'PEER_MISBEHAVED' })
    )
  })

  it('get a token no longer than a header can be', () => {
    expect(decodeTokenAnswer(encodeTokenAnswer('a.b.c'))).toBe('a.b.c')
    expect(() => decodeTokenAnswer(encodeTokenAnswer(tooLong))).toThrow()
  })
})

it('that a node has all of an image comes through as it was sent', () => {
  const request: TagRequest = { op: 'complete', repository, digest }
  expect(decodeTagRequest(encodeTagRequest(request))).toEqual(request)
})
