import { digestOf, MAX_MANIFEST_BYTES, MEDIA_TYPE } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { openFake } from '../testing/open-fake.ts'

const { signal } = new AbortController()
const CONFIG = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(Buffer.from('{}')), size: 2 }
const MANIFEST = { schemaVersion: 2, mediaType: MEDIA_TYPE.dockerManifest, config: CONFIG, layers: [] }
const BYTES = Buffer.from(JSON.stringify(MANIFEST))
const DIGEST = digestOf(BYTES)

async function start() {
  const server = await FakeRegistry.start()
  server.addManifest(MANIFEST, 'latest')
  const registry = await openFake(server.url)
  /** Answers every question for a manifest in this way. */
  const answer = (headers: Record<string, string>, body: Buffer = BYTES, status = 200) => {
    server.intercept = (request, response) => {
      response.writeHead(status, { 'content-length': body.length, ...headers })
      response.end(request.method === 'HEAD' ? undefined : body)
      return true
    }
  }
  const head = (reference = 'latest') => registry.headManifest('a', reference, { signal })
  const get = (reference = 'latest') => registry.getManifest('a', reference, { signal })
  const codeOf = (asked: Promise<unknown>) =>
    asked.then(
      () => 'ok',
      ({ code }: { code: string }) => code
    )
  return { server, registry, answer, head, get, codeOf }
}

it('asks for the types of OCI and Docker, unencoded', async () => {
  const { server, head } = await start()
  await head()
  expect(server.seen[0]?.headers).toMatchObject({ 'accept-encoding': 'identity', 'user-agent': 'test' })
  for (const type of [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifestList]) {
    expect(server.seen[0]?.headers.accept).toContain(type)
  }
})

it('asks what a tag means by HEAD alone', async () => {
  const { server, head } = await start()
  expect(await head()).toEqual({ digest: DIGEST, mediaType: MEDIA_TYPE.dockerManifest, size: BYTES.length })
  expect(server.log).toEqual(['HEAD /v2/a/manifests/latest'])
})

it('keeps its connection after HEAD', async () => {
  const { server, head, get } = await start()
  const connections = new Set<unknown>()
  server.intercept = ({ socket }) => {
    connections.add(socket)
    return undefined
  }
  for (const ask of [head, head, head, head, get, head, head, head, head, head]) await ask()
  // One that is asked for before the one before has quite ended gets another.
  expect(connections.size).toBeLessThan(4)
})

it.each([
  ['no digest', { 'content-type': MEDIA_TYPE.dockerManifest }],
  ['no type', { 'docker-content-digest': DIGEST }],
  [
    'no length',
    { 'docker-content-digest': DIGEST, 'content-type': MEDIA_TYPE.dockerManifest, 'transfer-encoding': 'chunked' }
  ]
])('asks by GET where HEAD tells %s', async (_, headers) => {
  const { server, head } = await start()
  server.intercept = (request, response) => {
    response.writeHead(200, headers)
    response.end(request.method === 'HEAD' ? undefined : BYTES)
    return true
  }
  expect(await head()).toEqual({ digest: DIGEST, mediaType: MEDIA_TYPE.dockerManifest, size: BYTES.length })
  expect(server.log).toEqual(['HEAD /v2/a/manifests/latest', 'GET /v2/a/manifests/latest'])
})

it('asks by GET where HEAD is not allowed', async () => {
  const { server, head } = await start()
  server.intercept = ({ method }, response) => {
    if (method !== 'HEAD') return undefined
    response.writeHead(405).end()
    return true
  }
  expect((await head())?.digest).toBe(DIGEST)
})

it('gives a manifest byte for byte, by tag and by digest', async () => {
  const { get } = await start()
  for (const reference of ['latest', DIGEST]) {
    const manifest = await get(reference)
    expect(manifest).toMatchObject({ digest: DIGEST, mediaType: MEDIA_TYPE.dockerManifest, size: BYTES.length })
    expect(Buffer.from(manifest?.bytes ?? [])).toEqual(BYTES)
  }
})

it('checks the bytes against the digest that was asked for, of either algorithm', async () => {
  const { answer, get, codeOf } = await start()
  answer({ 'content-type': MEDIA_TYPE.dockerManifest })
  expect((await get(DIGEST))?.digest).toBe(DIGEST)
  const sha512 = digestOf(BYTES, 'sha512')
  expect((await get(sha512))?.digest).toBe(sha512)
  answer({ 'content-type': MEDIA_TYPE.dockerManifest }, Buffer.from('{}'))
  expect(await codeOf(get(DIGEST))).toBe('MALFORMED')
  expect(await codeOf(get(sha512))).toBe('MALFORMED')
})

it('checks the bytes of a tag against the digest that the registry tells', async () => {
  const { answer, get, codeOf } = await start()
  answer({ 'content-type': MEDIA_TYPE.dockerManifest, 'docker-content-digest': digestOf(Buffer.from('other')) })
  expect(await codeOf(get())).toBe('MALFORMED')
  answer({ 'content-type': MEDIA_TYPE.dockerManifest, 'docker-content-digest': 'sha256:abc' })
  expect(await codeOf(get())).toBe('MALFORMED')
  answer({ 'content-type': MEDIA_TYPE.dockerManifest })
  expect((await get())?.digest).toBe(DIGEST)
})

it('takes no other digest than the one it asked for, also from HEAD', async () => {
  const { answer, head, get, codeOf } = await start()
  answer({ 'content-type': MEDIA_TYPE.dockerManifest, 'docker-content-digest': digestOf(Buffer.from('other')) })
  expect(await codeOf(head(DIGEST))).toBe('MALFORMED')
  expect(await codeOf(get(DIGEST))).toBe('MALFORMED')
})

it('has the type of a manifest from the registry, without parameters, else from the manifest itself', async () => {
  const { answer, get, codeOf } = await start()
  answer({ 'content-type': `${MEDIA_TYPE.ociManifest.toUpperCase()}; charset=utf-8` })
  expect((await get())?.mediaType).toBe(MEDIA_TYPE.ociManifest)
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }))
  answer({}, index)
  expect((await get())?.mediaType).toBe(MEDIA_TYPE.ociIndex)
  answer({}, Buffer.from('<html>'))
  expect(await codeOf(get())).toBe('MALFORMED')
})

it('reads no more of a manifest than one may have', async () => {
  const { server, answer, get, codeOf } = await start()
  answer({ 'content-length': String(MAX_MANIFEST_BYTES + 1) })
  expect(await codeOf(get())).toBe('MALFORMED')
  let sent = 0
  server.intercept = (_, response) => {
    const write = () => {
      if (response.destroyed) return
      sent += 65_536
      response.write(Buffer.alloc(65_536), () => setImmediate(write))
    }
    write()
    return true
  }
  expect(await codeOf(get())).toBe('MALFORMED')
  expect(sent).toBeLessThan(4 * MAX_MANIFEST_BYTES)
})

it.each(['gzip', 'br', 'zstd', 'identity, gzip'])('refuses a body encoded by %s', async (encoding) => {
  const { answer, get, head, codeOf } = await start()
  answer({ 'content-encoding': encoding, 'content-type': MEDIA_TYPE.dockerManifest, 'docker-content-digest': DIGEST })
  expect(await codeOf(get())).toBe('MALFORMED')
  expect(await codeOf(head())).toBe('MALFORMED')
})

it.each([
  [401, 'UNAUTHORIZED'],
  [403, 'DENIED'],
  [429, 'RATE_LIMITED'],
  [408, 'UNAVAILABLE'],
  [500, 'UNAVAILABLE'],
  [503, 'UNAVAILABLE'],
  [204, 'MALFORMED'],
  [304, 'MALFORMED'],
  [400, 'MALFORMED'],
  [451, 'MALFORMED']
])('says what %d means', async (status, code) => {
  const { answer, get, codeOf } = await start()
  answer({}, Buffer.alloc(0), status)
  expect(await codeOf(get())).toBe(code)
})
