import { digestOf, MEDIA_TYPE, type Repository, type Tag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { RegistryBackend } from './interfaces.ts'
import type { TestClient } from './testing/client.ts'
import { describe as describeContent, imageIndex, imageManifest } from './testing/images.ts'
import type { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const EMPTY = Buffer.from('{}')
const SBOM = 'application/spdx+json'

/** The target of the link to the next page. */
function nextOf(link: string | string[] | undefined): string | undefined {
  return link === undefined ? undefined : /^<([^>]+)>; rel="next"$/.exec(String(link))?.[1]
}

/** Follows the links from `path` and gathers what `read` finds on each page. */
async function pages<T>(client: TestClient, path: string, read: (body: unknown) => T[]): Promise<T[][]> {
  const found: T[][] = []
  for (let next: string | undefined = path; next !== undefined; ) {
    const answer = await client.get(next)
    expect(answer.status).toBe(200)
    found.push(read(answer.json()))
    next = nextOf(answer.headers.link)
  }
  return found
}

describe('listing tags', () => {
  const start = async (...tags: string[]) => {
    const registry = await startRegistry({ maxPageSize: 3 })
    registry.backend.addManifest(APP, imageManifest(EMPTY, []), ...(tags as Tag[]))
    const list = (query: string) => registry.client.get(`/v2/team/app/tags/list${query}`)
    return { ...registry, list }
  }
  const tagsOf = (body: unknown) => (body as { tags: string[] }).tags

  it('sorts them and leads from page to page', async () => {
    const { client, list } = await start('b', 'a', 'C', 'd', '1')
    const first = await list('')
    expect(first.headers['content-type']).toBe('application/json')
    expect(first.json()).toEqual({ name: 'team/app', tags: ['1', 'C', 'a'] })
    expect(await pages(client, '/v2/team/app/tags/list', tagsOf)).toEqual([
      ['1', 'C', 'a'],
      ['b', 'd']
    ])
    expect(await pages(client, '/v2/team/app/tags/list?n=2', tagsOf)).toEqual([['1', 'C'], ['a', 'b'], ['d']])
  })

  it.each([
    ['?last=a', ['b', 'd']],
    ['?last=aa', ['b', 'd']],
    ['?last=zzz', []],
    ['?last=', ['1', 'C', 'a']],
    ['?n=1&last=C', ['a']],
    ['?n=0', []],
    ['?n=99999999999999999999', ['1', 'C', 'a']]
  ])('takes %s', async (query, tags) => {
    const { list } = await start('b', 'a', 'C', 'd', '1')
    const answer = await list(query)
    expect(tagsOf(answer.json())).toEqual(tags)
    if (query === '?n=0') expect(answer.headers).not.toHaveProperty('link')
  })

  it.each(['?n=-1', '?n=x', '?n=1.5', '?n=', '?n=0x10', '?n=1e9'])('refuses %s', async (query) => {
    const { list } = await start('a')
    const answer = await list(query)
    expect([answer.status, answer.errorCode()]).toEqual([400, 'PAGINATION_NUMBER_INVALID'])
  })

  it('keeps the upstream in the link, and escapes what it puts there', async () => {
    const { client, backend } = await startRegistry({ maxPageSize: 1 })
    const repository = 'docker.io/library/nginx' as Repository
    backend.addManifest(repository, imageManifest(EMPTY, []), 'a' as Tag, 'b' as Tag)
    const { headers } = await client.get('/v2/library/nginx/tags/list?ns=index.docker.io')
    expect(nextOf(headers.link)).toBe('/v2/library/nginx/tags/list?n=1&last=a&ns=index.docker.io')
    expect(headers['oci-namespace']).toBe('index.docker.io')
  })

  it('says [] for a repository without tags and 404 for one that is not known', async () => {
    const { client, list } = await start()
    expect((await list('')).json()).toEqual({ name: 'team/app', tags: [] })
    const answer = await client.get('/v2/other/tags/list')
    expect([answer.status, answer.errorCode()]).toEqual([404, 'NAME_UNKNOWN'])
  })
})

describe('listing repositories', () => {
  it('sorts them and leads from page to page', async () => {
    const { client, backend } = await startRegistry({ maxPageSize: 2 })
    for (const name of ['c/c', 'b', 'a/b/c']) backend.addBlob(name as Repository, EMPTY)
    const found = await pages(client, '/v2/_catalog', (body) => (body as { repositories: string[] }).repositories)
    expect(found).toEqual([['a/b/c', 'b'], ['c/c']])
    expect((await client.get('/v2/_catalog?ns=localhost:5000')).status).toBe(200)
    expect((await client.get('/v2/_catalog?ns=docker.io')).errorCode()).toBe('NAME_UNKNOWN')
    expect((await client.get('/v2/_catalog?n=-1')).errorCode()).toBe('PAGINATION_NUMBER_INVALID')
  })
})

describe('listing referrers', () => {
  const subjectBytes = imageManifest(EMPTY, [])
  const subject = describeContent(MEDIA_TYPE.ociManifest, subjectBytes)
  const path = `/v2/team/app/referrers/${subject.digest}`
  const artifact = (artifactType: string | undefined, note: string) =>
    imageManifest(EMPTY, [], { ...(artifactType && { artifactType }), subject, annotations: { note } })
  const digestsOf = (body: unknown) =>
    (body as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest)

  it('gives an empty index for a subject that nobody knows', async () => {
    const { client } = await startRegistry()
    const answer = await client.get(path)
    expect([answer.status, answer.headers['content-type']]).toEqual([200, MEDIA_TYPE.ociIndex])
    expect(answer.json()).toEqual({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] })
    expect((await client.get('/v2/team/app/referrers/sha256:x')).errorCode()).toBe('DIGEST_INVALID')
  })

  it('describes each with its type and annotations, though the subject came later or never', async () => {
    const { client, backend } = await startRegistry()
    const typed = artifact(SBOM, 'typed')
    const untyped = artifact(undefined, 'untyped')
    const index = imageIndex([], { subject })
    for (const manifest of [typed, untyped, index]) backend.addManifest(APP, manifest)
    backend.addManifest(APP, subjectBytes)
    const { manifests } = (await client.get(path)).json() as { manifests: unknown[] }
    expect(manifests).toHaveLength(3)
    expect(manifests).toEqual(
      expect.arrayContaining([
        { ...describeContent(MEDIA_TYPE.ociManifest, typed), artifactType: SBOM, annotations: { note: 'typed' } },
        {
          ...describeContent(MEDIA_TYPE.ociManifest, untyped),
          artifactType: MEDIA_TYPE.ociConfig,
          annotations: { note: 'untyped' }
        },
        describeContent(MEDIA_TYPE.ociIndex, index)
      ])
    )
  })

  it.each(['application/spdx%2Bjson', 'application/spdx+json'])('filters by %s', async (artifactType) => {
    const { client, backend } = await startRegistry()
    const wanted = backend.addManifest(APP, artifact(SBOM, 'x'))
    backend.addManifest(APP, artifact('application/other', 'x'))
    const answer = await client.get(`${path}?artifactType=${artifactType}`)
    expect(digestsOf(answer.json())).toEqual([wanted])
    expect(answer.headers['oci-filters-applied']).toBe('artifactType')
    expect((await client.get(path)).headers).not.toHaveProperty('oci-filters-applied')
  })

  it('leads from page to page, by number and by bytes, and keeps the filter', async () => {
    const { client, backend } = await startRegistry({ maxReferrersBytes: 1000 })
    const digests = Array.from({ length: 7 }, (_, index) => backend.addManifest(APP, artifact(SBOM, `${index}`))).sort()
    backend.addManifest(APP, artifact('application/other', 'x'))
    const big = artifact(SBOM, 'x'.repeat(5000))
    const all = [...digests, backend.addManifest(APP, big)].sort()
    const found = await pages(client, `${path}?artifactType=${SBOM}`, digestsOf)
    expect(found.flat()).toEqual(all)
    expect(found.length).toBeGreaterThan(2)
    expect(found.find((page) => page.includes(digestOf(big)))).toBeDefined()
    const byTwo = await pages(client, `${path}?artifactType=${SBOM}&n=2`, digestsOf)
    expect(byTwo.flat()).toEqual(all)
    expect(Math.max(...byTwo.map((page) => page.length))).toBe(2)
  })

  it('adds what clients wrote under the fallback tag, once', async () => {
    const { client, backend } = await startRegistry()
    const known = artifact(SBOM, 'known')
    const old = artifact(SBOM, 'old')
    backend.addManifest(APP, known)
    const entry = (bytes: Buffer, note: string) => ({
      ...describeContent(MEDIA_TYPE.ociManifest, bytes),
      artifactType: SBOM,
      annotations: { note }
    })
    const fallback = imageIndex([], { manifests: [entry(known, 'as a client saw it'), entry(old, 'old')] })
    backend.addManifest(APP, fallback, subject.digest.replace(':', '-') as Tag)
    const { manifests } = (await client.get(path)).json() as { manifests: unknown[] }
    expect(manifests).toHaveLength(2)
    expect(manifests).toEqual(expect.arrayContaining([entry(known, 'known'), entry(old, 'old')]))
  })

  it('does without the fallback tag when it is no index or can not be resolved', async () => {
    const failing = (backend: MemoryBackend): RegistryBackend => ({
      blobs: backend.blobs,
      manifests: backend.manifests,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page),
      tags: { ...backend.tags, resolve: () => Promise.reject(new Error('no seed')) }
    })
    for (const wrap of [undefined, failing]) {
      const { client, backend } = await startRegistry({}, wrap)
      const known = backend.addManifest(APP, artifact(SBOM, 'known'))
      backend.addManifest(APP, subjectBytes, subject.digest.replace(':', '-') as Tag)
      const answer = await client.get(path)
      expect([answer.status, digestsOf(answer.json())]).toEqual([200, [known]])
    }
  })

  it('cuts the fallback tag of a sha512 subject to the length of a tag', async () => {
    const { client, backend } = await startRegistry()
    const sha512 = describeContent(MEDIA_TYPE.ociManifest, subjectBytes, 'sha512').digest
    const old = describeContent(MEDIA_TYPE.ociManifest, Buffer.from('old'))
    const tag = `sha512-${sha512.slice(7, 7 + 64)}` as Tag
    backend.addManifest(APP, imageIndex([], { manifests: [old] }), tag)
    expect(digestsOf((await client.get(`/v2/team/app/referrers/${sha512}`)).json())).toEqual([old.digest])
  })
})
