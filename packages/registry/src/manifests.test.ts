import { randomBytes } from 'node:crypto'
import { digestOf, MAX_MANIFEST_BYTES, MEDIA_TYPE, type Repository, type Tag } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import { addImage, describe as describeContent, imageIndex, imageManifest } from './testing/images.ts'
import { startRegistry } from './testing/start.ts'

const APP = 'team/app' as Repository
const EMPTY = Buffer.from('{}')
const OCI = { 'content-type': MEDIA_TYPE.ociManifest }

/** A registry with the config and the layer that `manifest` needs. */
async function startWithBlobs(options: Parameters<typeof startRegistry>[0] = {}) {
  const registry = await startRegistry(options)
  const layer = randomBytes(100)
  registry.backend.addBlob(APP, EMPTY)
  registry.backend.addBlob(APP, layer)
  return { ...registry, manifest: imageManifest(EMPTY, [layer]), layer }
}

describe('pulling manifests', () => {
  it('sends the stored bytes by tag and by digest, with exact type and length', async () => {
    const { client, backend, events } = await startRegistry()
    const { index, manifest } = addImage(backend, 'team/app', '1.0', 100)
    const cases = [
      ['1.0', index, MEDIA_TYPE.ociIndex],
      [digestOf(index), index, MEDIA_TYPE.ociIndex],
      [digestOf(manifest), manifest, MEDIA_TYPE.ociManifest]
    ] as const
    for (const [reference, bytes, type] of cases) {
      const answer = await client.get(`/v2/team/app/manifests/${reference}`)
      expect(answer.status).toBe(200)
      expect(answer.body.equals(bytes)).toBe(true)
      const head = await client.head(`/v2/team/app/manifests/${reference}`)
      expect([head.status, head.body.length]).toEqual([200, 0])
      for (const { headers } of [answer, head]) {
        expect(headers).toMatchObject({
          'content-type': type,
          'content-length': String(bytes.byteLength),
          'docker-content-digest': digestOf(bytes),
          etag: `"${digestOf(bytes)}"`
        })
        expect(headers['cache-control']).toBe(reference === '1.0' ? undefined : 'max-age=31536000')
      }
    }
    const pulled = { action: 'pull', target: 'manifest', repository: APP }
    expect(events).toMatchObject([
      { ...pulled, digest: digestOf(index), tag: '1.0', bytes: index.byteLength },
      { ...pulled, digest: digestOf(index), bytes: index.byteLength },
      { ...pulled, digest: digestOf(manifest), bytes: manifest.byteLength }
    ])
  })

  it.each([
    undefined,
    '*/*',
    'text/html',
    MEDIA_TYPE.dockerManifest,
    [MEDIA_TYPE.dockerSchema1Signed, `${MEDIA_TYPE.dockerManifestList};q=0.5`]
  ])('sends an index as it is to a client that accepts %s', async (accept) => {
    const { client, backend } = await startRegistry()
    const { index } = addImage(backend, 'team/app', '1.0', 100)
    const answer = await client.get('/v2/team/app/manifests/1.0', accept === undefined ? {} : { accept })
    expect([answer.status, answer.headers['content-type']]).toEqual([200, MEDIA_TYPE.ociIndex])
    expect(answer.body.equals(index)).toBe(true)
  })

  it('sends nothing to a client that holds the manifest', async () => {
    const { client, backend } = await startRegistry()
    const { index } = addImage(backend, 'team/app', '1.0', 100)
    const answer = await client.get('/v2/team/app/manifests/1.0', { 'if-none-match': `"${digestOf(index)}"` })
    expect([answer.status, answer.body.length]).toEqual([304, 0])
  })

  it('says 404 at once to what is not here, and 400 to what is no reference', async () => {
    const { client } = await startRegistry()
    const cases = [
      ['latest', 404, 'MANIFEST_UNKNOWN'],
      [digestOf(EMPTY), 404, 'MANIFEST_UNKNOWN'],
      ['sha256:totallywrong', 400, 'DIGEST_INVALID'],
      ['-no-tag', 400, 'TAG_INVALID']
    ] as const
    for (const [reference, status, code] of cases) {
      const answer = await client.get(`/v2/team/app/manifests/${reference}`)
      expect([answer.status, answer.errorCode()]).toEqual([status, code])
      const head = await client.head(`/v2/team/app/manifests/${reference}`)
      expect([head.status, head.body.length]).toEqual([status, 0])
    }
  })

  it('passes a warning on to the user, in a form that no header can break', async () => {
    const { client, backend } = await startRegistry({}, (memory) => ({
      blobs: memory.blobs,
      manifests: memory.manifests,
      uploads: memory.uploads,
      catalog: (page) => memory.catalog(page),
      tags: {
        ...memory.tags,
        resolve: async (repository, tag, signal) => {
          const resolved = await memory.tags.resolve(repository, tag, signal)
          return resolved && { ...resolved, warning: 'stale: "seed" \\ unreachable\r\nX-Evil: 1 — yes' }
        }
      }
    }))
    addImage(backend, 'team/app', '1.0', 100)
    const { headers } = await client.head('/v2/team/app/manifests/1.0')
    expect(headers.warning).toBe('299 - "stale: \\"seed\\" \\\\ unreachable??X-Evil: 1 ? yes"')
    expect(headers).not.toHaveProperty('x-evil')
  })
})

describe('pushing manifests', () => {
  it('keeps the bytes exactly and tells where they are', async () => {
    const { client, manifest, events } = await startWithBlobs()
    const put = await client.send('PUT', '/v2/team/app/manifests/v1', { headers: OCI, body: manifest })
    const digest = digestOf(manifest)
    expect(put.status).toBe(201)
    expect(put.headers).toMatchObject({
      location: `/v2/team/app/manifests/${digest}`,
      'docker-content-digest': digest,
      'content-length': '0'
    })
    expect(put.headers).not.toHaveProperty('oci-subject')
    const got = await client.get(put.headers.location ?? '')
    expect(got.body.equals(manifest)).toBe(true)
    expect((await client.head('/v2/team/app/manifests/v1')).headers['docker-content-digest']).toBe(digest)
    expect(events[0]).toMatchObject({
      action: 'push',
      target: 'manifest',
      repository: APP,
      digest,
      tag: 'v1',
      bytes: manifest.byteLength
    })
  })

  it('takes one by sha512, with tags as parameters', async () => {
    const { client, manifest, events } = await startWithBlobs()
    const digest = digestOf(manifest, 'sha512')
    const path = `/v2/team/app/manifests/${digest}?tag=a&tag=b&tag=a`
    const put = await client.send('PUT', path, { headers: OCI, body: manifest })
    expect(put.status).toBe(201)
    expect(put.headers['docker-content-digest']).toBe(digest)
    expect(put.headers['oci-tag']).toBe('a, b')
    for (const tag of ['a', 'b']) {
      expect((await client.head(`/v2/team/app/manifests/${tag}`)).headers['docker-content-digest']).toBe(digest)
    }
    expect(events.map(({ tag, bytes }) => [tag, bytes])).toEqual([
      ['a', manifest.byteLength],
      ['b', 0]
    ])
  })

  it('takes as many tags as it is set to and no more', async () => {
    const { client, manifest } = await startWithBlobs({ maxTagParams: 10 })
    const put = (count: number) => {
      const tags = Array.from({ length: count }, (_, index) => `tag=t${index}`).join('&')
      return client.send('PUT', `/v2/team/app/manifests/${digestOf(manifest)}?${tags}`, {
        headers: OCI,
        body: manifest
      })
    }
    expect((await put(10)).status).toBe(201)
    const refused = await put(11)
    expect([refused.status, refused.errorCode()]).toEqual([414, 'TAG_INVALID'])
  })

  it('names the subject of an image and of an index, though nobody has it', async () => {
    const { client, backend, manifest, layer } = await startWithBlobs()
    backend.addManifest(APP, manifest)
    const subject = { ...describeContent(MEDIA_TYPE.ociManifest, Buffer.from('missing')) }
    const bodies = [
      [imageManifest(EMPTY, [layer], { subject }), MEDIA_TYPE.ociManifest],
      [imageIndex([manifest], { subject }), MEDIA_TYPE.ociIndex]
    ] as const
    for (const [body, type] of bodies) {
      const path = `/v2/team/app/manifests/${digestOf(body)}`
      const put = await client.send('PUT', path, { headers: { 'content-type': type }, body })
      expect([put.status, put.headers['oci-subject']]).toEqual([201, subject.digest])
    }
  })

  it.each([
    ['a body with another digest', `${digestOf(EMPTY)}`, {}, 'DIGEST_INVALID'],
    ['a type that the body does not have', 'v1', { 'content-type': MEDIA_TYPE.ociIndex }, 'MANIFEST_INVALID'],
    ['a form', 'v1', { 'content-type': 'application/x-www-form-urlencoded' }, 'MANIFEST_INVALID']
  ])('refuses %s', async (_, reference, headers, code) => {
    const { client, manifest, backend } = await startWithBlobs()
    const path = `/v2/team/app/manifests/${reference}`
    const put = await client.send('PUT', path, { headers: { ...OCI, ...headers }, body: manifest })
    expect([put.status, put.errorCode()]).toEqual([400, code])
    expect(await backend.manifests.get(APP, digestOf(manifest), AbortSignal.timeout(60_000))).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['no JSON', '{"schemaVersion":2'],
    ['a shape of both kinds', '{"schemaVersion":2,"manifests":[],"layers":[]}'],
    ['a key that comes twice', '{"schemaVersion":2,"manifests":[],"manifests":[]}'],
    ['nesting without end', '['.repeat(100_000)]
  ])('refuses %s', async (_, body) => {
    const { client } = await startRegistry()
    const put = await client.send('PUT', '/v2/team/app/manifests/v1', { body })
    expect([put.status, put.errorCode()]).toEqual([400, 'MANIFEST_INVALID'])
  })

  it('refuses one whose layer was never pushed', async () => {
    const { client } = await startRegistry()
    const body = imageManifest(EMPTY, [])
    const put = await client.send('PUT', '/v2/team/app/manifests/v1', { headers: OCI, body })
    expect([put.status, put.errorCode()]).toEqual([400, 'MANIFEST_BLOB_UNKNOWN'])
  })

  it.each(['with its length told', 'in chunks'])('takes 4 MiB and not a byte more, %s', async (how) => {
    const { client, layer } = await startWithBlobs()
    const padded = (length: number) => {
      const bare = imageManifest(EMPTY, [layer], { annotations: { padding: '' } })
      return imageManifest(EMPTY, [layer], { annotations: { padding: 'x'.repeat(length - bare.byteLength) } })
    }
    const put = (body: Buffer) => {
      const length = how === 'in chunks' ? { 'transfer-encoding': 'chunked' } : { 'content-length': body.byteLength }
      return client.send('PUT', '/v2/team/app/manifests/big', { headers: { ...OCI, ...length }, body })
    }
    expect((await put(padded(MAX_MANIFEST_BYTES))).status).toBe(201)
    const refused = await put(padded(MAX_MANIFEST_BYTES + 1))
    expect([refused.status, refused.errorCode()]).toEqual([413, 'MANIFEST_TOO_LARGE'])
  })
})

describe('bodies of manifests', () => {
  const start = 'PUT /v2/team/app/manifests/big HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
  const chunk = (length: number) => `${length.toString(16)}\r\n${' '.repeat(length)}\r\n`

  it('without an end are refused as soon as they are too long, and the connection can be used again', async () => {
    const { client } = await startRegistry({ discardTimeoutMs: 600_000 })
    const connection = client.raw()
    connection.write(start)
    connection.write(chunk(MAX_MANIFEST_BYTES))
    connection.write(chunk(1))
    expect(await connection.until(/MANIFEST_TOO_LARGE/)).toMatch(/^HTTP\/1.1 413 /)
    connection.write(`${chunk(100_000)}0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect(await connection.closed()).toMatch(/200 OK/)
  })

  it('that are too long by what is told of them are refused at once, and the connection can be used again', async () => {
    const { client } = await startRegistry({ discardTimeoutMs: 600_000 })
    const connection = client.raw()
    const length = MAX_MANIFEST_BYTES + 1
    connection.write(`PUT /v2/team/app/manifests/big HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`)
    expect(await connection.until(/MANIFEST_TOO_LARGE/)).toMatch(/^HTTP\/1.1 413 /)
    connection.write(' '.repeat(length))
    connection.write('GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(await connection.closed()).toMatch(/200 OK/)
  })

  it('are held in memory only up to a number, others told to wait', async () => {
    const { client } = await startRegistry({ maxConcurrentManifestBodies: 1 })
    const slow = client.raw()
    slow.write(`${start.replace('\r\n\r\n', '\r\nExpect: 100-continue\r\n\r\n')}`)
    await slow.until(/100 Continue/)
    const refused = await client.send('PUT', '/v2/team/app/manifests/x', { body: 'x' })
    expect([refused.status, refused.errorCode()]).toEqual([429, 'TOOMANYREQUESTS'])
    slow.write(`${chunk(10)}0\r\n\r\n`)
    await slow.until(/MANIFEST_INVALID/)
    expect((await client.send('PUT', '/v2/team/app/manifests/x', { body: 'x' })).errorCode()).toBe('MANIFEST_INVALID')
    slow.end()
  })
})

describe('deleting manifests', () => {
  it('removes a tag and leaves the manifest', async () => {
    const { client, backend, events } = await startRegistry()
    const { index } = addImage(backend, 'team/app', '1.0', 100)
    expect((await client.send('DELETE', '/v2/team/app/manifests/1.0')).status).toBe(202)
    expect((await client.head('/v2/team/app/manifests/1.0')).status).toBe(404)
    expect((await client.head(`/v2/team/app/manifests/${digestOf(index)}`)).status).toBe(200)
    expect((await client.send('DELETE', '/v2/team/app/manifests/1.0')).status).toBe(404)
    expect(events).toMatchObject([{ action: 'delete', target: 'tag', repository: APP, tag: '1.0', bytes: 0 }])
  })

  it('removes a manifest and at once every tag that means it', async () => {
    const { client, backend, events } = await startRegistry()
    const { index } = addImage(backend, 'team/app', '1.0', 100)
    backend.addManifest(APP, index, 'latest' as Tag)
    expect((await client.send('DELETE', `/v2/team/app/manifests/${digestOf(index)}`)).status).toBe(202)
    expect((await client.get('/v2/team/app/tags/list')).json()).toEqual({ name: 'team/app', tags: [] })
    expect((await client.send('DELETE', `/v2/team/app/manifests/${digestOf(index)}`)).status).toBe(404)
    expect(events).toMatchObject([{ action: 'delete', target: 'manifest', digest: digestOf(index) }])
  })
})
