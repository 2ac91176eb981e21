import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isUpstreamError } from '../errors.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { openFake } from '../testing/open-fake.ts'

/*
 * Whatever a registry answers, each question ends: in what was asked for, in that it is not there, or in an UpstreamError.
 * Only one question is let in at a time, so that one that did not give its slot back would hold up the next.
 */

const BYTES = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [], tags: ['a'] }))
const DIGEST = digestOf(BYTES)

const status = fc.constantFrom(200, 200, 200, 206, 206, 201, 204, 301, 307, 304, 400, 401, 403, 404, 416, 429, 500, 503)
const field = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined, freq: 2 })
const fields = fc.record({
  'content-type': field(fc.constantFrom(MEDIA_TYPE.ociIndex, 'text/html', '', 'application/json; charset=utf-8')),
  'content-length': field(fc.constantFrom('0', '1', String(BYTES.length), '999999999', '99999999999999999999')),
  'content-range': field(
    fc.constantFrom(`bytes 0-${BYTES.length - 1}/${BYTES.length}`, 'bytes 3-2/1', 'bytes */5', 'bytes 0-0/9', 'x')
  ),
  'docker-content-digest': field(fc.constantFrom(DIGEST, digestOf(Buffer.from('x')), 'sha256:abc', '')),
  'content-encoding': field(fc.constantFrom('gzip', 'identity', '')),
  location: field(fc.constantFrom('/v2/', '', 'http://[', 'http://127.0.0.1:1/', 'https://user:secret@a/', '//')),
  link: field(fc.constantFrom('</v2/?n=1>; rel="next"', '<>; rel=next', '<<>>', `<${'a'.repeat(9_000)}>; rel="next"`)),
  etag: field(fc.constantFrom('"a"', '"b"')),
  'retry-after': field(fc.constantFrom('0', 'soon')),
  'www-authenticate': field(
    fc.constantFrom('Bearer realm="/token"', 'Bearer realm="http://127.0.0.1:1/t"', 'Basic', '"', 'Bearer ,,=')
  )
})
const body = fc.constantFrom(BYTES, Buffer.alloc(0), Buffer.from('{'), Buffer.alloc(100_000, 'a'))
const ending = fc.constantFrom('end', 'end', 'cut')
const answer = fc.record({ status, fields, body, ending })
const question = fc.constantFrom('headManifest', 'getManifest', 'headBlob', 'openBlob', 'referrers', 'listTags')

it('ends each question, whatever a registry answers', async () => {
  const server = await FakeRegistry.start()
  const registry = await openFake(server.url, {
    limits: {
      maxBlobs: 1,
      maxRequests: 1,
      resumeDelaysMs: [0],
      unclaimedMs: 50,
      headersTimeoutMs: 500,
      answerTimeoutMs: 2_000,
      unreachablePauseMs: 0,
      rateLimitPauseMs: 0
    }
  })
  const { signal } = new AbortController()
  const ask = async (what: string, read: boolean) => {
    switch (what) {
      case 'headManifest':
        return await registry.headManifest('a', 'latest', { signal })
      case 'getManifest': {
        const manifest = await registry.getManifest('a', DIGEST, { signal })
        if (manifest !== undefined) expect(digestOf(manifest.bytes)).toBe(DIGEST)
        return
      }
      case 'headBlob':
        return await registry.headBlob('a', DIGEST, { signal })
      case 'openBlob': {
        const blob = await registry.openBlob('a', DIGEST, 3, { signal })
        if (!read || blob === undefined) return
        let length = 3
        for await (const chunk of blob.body) length += chunk.length
        expect(length).toBe(blob.size)
        return
      }
      case 'referrers':
        return await registry.referrers('a', DIGEST, { signal })
      default:
        return await registry.listTags('a', { limit: 2 }, { signal })
    }
  }
  const script = fc.record({
    what: question,
    read: fc.boolean(),
    answers: fc.array(answer, { minLength: 1, maxLength: 4 })
  })
  await fc.assert(
    fc.asyncProperty(script, async ({ what, read, answers }) => {
      let turn = 0
      server.intercept = ({ method }, response) => {
        const given = answers[turn++ % answers.length]
        if (given === undefined) return undefined
        for (const [name, value] of Object.entries(given.fields)) {
          if (value !== undefined) response.setHeader(name, value)
        }
        response.on('error', () => {}).writeHead(given.status)
        response.flushHeaders()
        if (method === 'HEAD') response.end()
        else if (given.ending === 'end') response.end(given.body, () => response.socket?.end())
        else response.write(given.body, () => response.destroy())
        return true
      }
      await ask(what, read).catch((error: unknown) => {
        if (!isUpstreamError(error)) throw error
      })
    }),
    { numRuns: 400 }
  )
  server.intercept = () => undefined
  server.addBlob(BYTES)
  expect(await registry.headBlob('a', DIGEST, { signal })).toBe(BYTES.length)
  expect(await registry.listTags('a', { limit: 1 }, { signal })).toBeUndefined()
})
