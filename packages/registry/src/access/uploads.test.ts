import type { Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { ALL, DIGEST, EMPTY, endpoints, PRIVATE, PUBLIC, startWithAccess } from '../testing/access-fixture.ts'
import { basic, FakeAccess } from '../testing/fake-access.ts'
import { startRegistry } from '../testing/start.ts'

describe('a mount', () => {
  const from = (source: string) => `${endpoints('target/app').uploads}?mount=${DIGEST}&from=${source}`
  const access = new FakeAccess({
    'target/app': { alice: ALL, pusher: ['pull', 'create'] },
    [PRIVATE]: { alice: ALL },
    [PUBLIC]: { '*': ['pull'] }
  })

  it('is done from where the caller may pull', async () => {
    const { client, events } = await startWithAccess({ access })
    expect((await client.send('POST', from(PRIVATE), { headers: basic('alice') })).status).toBe(201)
    expect((await client.send('POST', from(PUBLIC), { headers: basic('pusher') })).status).toBe(201)
    expect(events).toMatchObject([
      { action: 'mount', from: PRIVATE, actor: 'alice' },
      { from: PUBLIC, actor: 'pusher' }
    ])
  })

  it('from elsewhere is answered as if there were no such repository', async () => {
    const { client, backend } = await startWithAccess({ access })
    const [forbidden, absent, unnamed] = await Promise.all(
      [from(PRIVATE), from('nowhere/app'), from(PRIVATE).replace(/&from=.*/, '')].map((path) =>
        client.send('POST', path, { headers: basic('pusher') })
      )
    )
    const seen = (answer: typeof forbidden) => [
      answer?.status,
      Object.keys(answer?.headers ?? {}),
      answer?.headers.range,
      answer?.body.toString()
    ]
    expect(forbidden?.status).toBe(202)
    expect(seen(forbidden)).toEqual(seen(absent))
    expect(seen(unnamed)).toEqual(seen(absent))
    expect(await backend.blobs.stat('target/app' as Repository, DIGEST, AbortSignal.timeout(60_000))).toBeUndefined()
  })

  it('does not ask the backend about a source that the caller may not see', async () => {
    const asked: unknown[] = []
    const { client } = await startRegistry({ access }, (backend) => ({
      blobs: {
        ...backend.blobs,
        mount: async (...question) => {
          asked.push(question)
          return false
        }
      },
      manifests: backend.manifests,
      tags: backend.tags,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page)
    }))
    await client.send('POST', from(PRIVATE), { headers: basic('pusher') })
    await client.send('POST', from(PRIVATE).replace(/&from=.*/, ''), { headers: basic('alice') })
    expect(asked).toEqual([])
  })
})

describe('an upload', () => {
  const shared = new FakeAccess({
    'one/app': { alice: ALL, bob: ALL, '*': ['create'] },
    'two/app': { alice: ALL }
  })
  const KEY = Buffer.alloc(32, 7)

  it('belongs to whoever began it, in its repository', async () => {
    const { client } = await startRegistry({ access: shared, sealingKey: KEY })
    const begun = await client.send('POST', endpoints('one/app').uploads, { headers: basic('alice') })
    const location = begun.headers.location ?? ''
    expect((await client.get(location, basic('alice'))).status).toBe(204)
    const strangers = [
      [location, basic('bob')],
      [location, {}],
      [location.replace('one/app', 'two/app'), basic('alice')],
      [location.slice(0, location.lastIndexOf('-')), basic('alice')],
      [`${location.slice(0, -1)}${location.endsWith('0') ? '1' : '0'}`, basic('alice')],
      [`${location}0`, basic('alice')]
    ] as const
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      for (const [path, headers] of strangers) {
        const answer = await client.send(method, path, { headers })
        expect([method, path, answer.status, answer.errorCode()]).toEqual([method, path, 404, 'BLOB_UPLOAD_UNKNOWN'])
      }
    }
    const end = await client.send('PUT', `${location}?digest=${DIGEST}`, { headers: basic('alice'), body: EMPTY })
    expect(end.status).toBe(201)
  })

  it('of nobody in particular is nobody’s who has a name', async () => {
    const { client } = await startRegistry({ access: shared, sealingKey: KEY })
    const { headers } = await client.send('POST', endpoints('one/app').uploads)
    const location = headers.location ?? ''
    expect((await client.get(location, basic('alice'))).status).toBe(404)
    expect((await client.get(location)).status).toBe(204)
  })

  it('is known again by a registry with the same key, and by no other', async () => {
    const first = await startRegistry({ access: shared, sealingKey: KEY })
    const { headers } = await first.client.send('POST', endpoints('one/app').uploads, { headers: basic('alice') })
    const sameStore = (): typeof first.backend => first.backend
    const again = await startRegistry({ access: shared, sealingKey: KEY }, sameStore)
    const other = await startRegistry({ access: shared }, sameStore)
    const location = headers.location ?? ''
    expect((await again.client.get(location, basic('alice'))).status).toBe(204)
    expect((await other.client.get(location, basic('alice'))).status).toBe(404)
  })
})
