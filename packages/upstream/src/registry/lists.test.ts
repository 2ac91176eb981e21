import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { openFake } from '../testing/open-fake.ts'

const { signal } = new AbortController()
const SUBJECT = digestOf(Buffer.from('subject'))

const referrer = (text: string) => ({
  mediaType: MEDIA_TYPE.ociManifest,
  digest: digestOf(Buffer.from(text)),
  size: text.length,
  artifactType: 'application/example'
})
const index = (...manifests: object[]) => ({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests })

async function start() {
  const server = await FakeRegistry.start()
  const registry = await openFake(server.url)
  /** Answers questions for these paths with JSON, and a link to the next page. */
  const answer = (pages: Readonly<Record<string, { readonly body: unknown; readonly next?: string }>>) => {
    server.intercept = ({ url = '' }, response) => {
      const page = pages[url]
      if (page === undefined) return undefined
      response.setHeader('content-type', 'application/json')
      if (page.next !== undefined) response.setHeader('link', `<${page.next}>; rel="next"`)
      response.end(typeof page.body === 'string' ? page.body : JSON.stringify(page.body))
      return true
    }
  }
  const tags = (page: { after?: string; limit: number }) => registry.listTags('a', page, { signal })
  const referrers = () => registry.referrers('a', SUBJECT, { signal })
  const codeOf = (asked: Promise<unknown>) =>
    asked.then(
      () => 'ok',
      ({ code }: { code: string }) => code
    )
  return { server, answer, tags, referrers, codeOf }
}

it('lists referrers by the API, over all its pages', async () => {
  const { answer, referrers } = await start()
  answer({
    [`/v2/a/referrers/${SUBJECT}`]: { body: index(referrer('1')), next: `/v2/a/referrers/${SUBJECT}?page=2` },
    [`/v2/a/referrers/${SUBJECT}?page=2`]: { body: index(referrer('2')) }
  })
  expect(await referrers()).toEqual([referrer('1'), referrer('2')])
})

it('lists referrers by the tag of the subject where there is no API', async () => {
  const { server, referrers } = await start()
  server.addManifest(index(referrer('1')), SUBJECT.replace(':', '-'))
  expect(await referrers()).toEqual([referrer('1')])
})

it('knows of no referrers where there is neither', async () => {
  const { referrers } = await start()
  expect(await referrers()).toBeUndefined()
})

it.each([
  '{',
  '[]',
  JSON.stringify({ schemaVersion: 2, config: {}, layers: [] }),
  JSON.stringify(index({ digest: 'x' }))
])('refuses %s as a list of referrers', async (body) => {
  const { answer, referrers, codeOf } = await start()
  answer({ [`/v2/a/referrers/${SUBJECT}`]: { body } })
  expect(await codeOf(referrers())).toBe('MALFORMED')
})

it('lists tags, over as many pages as it takes', async () => {
  const { answer, tags, server } = await start()
  answer({
    '/v2/a/tags/list?n=3': { body: { name: 'a', tags: ['1', '2'] }, next: '/v2/a/tags/list?n=2&last=2' },
    '/v2/a/tags/list?n=2&last=2': { body: { name: 'a', tags: ['3', '4'] }, next: '/v2/a/tags/list?n=2&last=4' }
  })
  expect(await tags({ limit: 3 })).toEqual(['1', '2', '3'])
  expect(server.log).toHaveLength(2)
})

it('lists the tags after one, also of a registry that lists from the start', async () => {
  const { answer, tags } = await start()
  answer({
    '/v2/a/tags/list?n=10&last=b': { body: { tags: ['a', 'b', 'c', 'd'] } },
    '/v2/a/tags/list?n=10&last=c': { body: { tags: ['d'] } }
  })
  expect(await tags({ after: 'b', limit: 10 })).toEqual(['c', 'd'])
  expect(await tags({ after: 'c', limit: 10 })).toEqual(['d'])
})

it('passes over what is no tag, and takes null for none', async () => {
  const { answer, tags } = await start()
  answer({ '/v2/a/tags/list?n=9': { body: { tags: ['ok', '../x', '', 1, null, 'a'.repeat(200)] } } })
  expect(await tags({ limit: 9 })).toEqual(['ok'])
  answer({ '/v2/a/tags/list?n=9': { body: { tags: null } } })
  expect(await tags({ limit: 9 })).toEqual([])
})

it.each(['', '{', '[]', 'null', '{"tags":{}}', '{}'])('refuses %j as a list of tags', async (body) => {
  const { answer, tags, codeOf } = await start()
  answer({ '/v2/a/tags/list?n=9': { body } })
  expect(await codeOf(tags({ limit: 9 }))).toBe('MALFORMED')
})

it('goes from page to page of the same list alone, wherever the link leads, and not for ever', async () => {
  const { server, tags } = await start()
  const other = await FakeRegistry.start()
  server.intercept = (_, response) => {
    response.setHeader('link', `<${other.url}/v2/secret/tags/list?n=1&last=${server.seen.length}>; rel="next"`)
    response.end('{"tags":["a"]}')
    return true
  }
  expect(await tags({ limit: 1_000 })).toHaveLength(50)
  expect(new Set(server.seen.map(({ path }) => path.split('?')[0]))).toEqual(new Set(['/v2/a/tags/list']))
  expect(other.seen).toEqual([])
})
