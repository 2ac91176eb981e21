import { randomBytes } from 'node:crypto'
import { digestOf, MEDIA_TYPE, type Repository } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { Answer, TestClient } from './testing/client.ts'
import { addImage, imageManifest } from './testing/images.ts'
import { startRegistry } from './testing/start.ts'

// What the usual clients send, in their order (from their sources): these are the answers they need.

const DOCKER_ACCEPT = [
  MEDIA_TYPE.dockerSchema1Signed,
  'application/json',
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerManifestList,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex
]

/** What a client checks before it trusts a manifest's head. */
function expectManifestHead({ status, headers }: Answer, bytes: Buffer, type: string): void {
  expect(status).toBe(200)
  expect(headers).toMatchObject({
    'content-type': type,
    'content-length': String(bytes.byteLength),
    'docker-content-digest': digestOf(bytes)
  })
}

async function expectBytes(answer: Promise<Answer>, bytes: Buffer, status = 200): Promise<void> {
  const { status: got, headers, body } = await answer
  expect(got).toBe(status)
  expect(headers).not.toHaveProperty('content-encoding')
  expect(headers['content-length']).toBe(String(bytes.byteLength))
  expect(body.equals(bytes)).toBe(true)
}

describe('pulls', () => {
  it('of classic Docker through registry-mirrors: no hint, and a layer that is cut is taken up again', async () => {
    const { client, backend } = await startRegistry()
    const image = addImage(backend, 'library/alpine', '3', 50_000, 60_000, 70_000)
    const at = '/v2/library/alpine'
    expect((await client.get('/v2/')).status).toBe(200)
    const head = await client.head(`${at}/manifests/3`, { accept: DOCKER_ACCEPT })
    expectManifestHead(head, image.index, MEDIA_TYPE.ociIndex)
    await expectBytes(client.get(`${at}/manifests/${digestOf(image.index)}`, { accept: DOCKER_ACCEPT }), image.index)
    await expectBytes(client.get(`${at}/manifests/${digestOf(image.manifest)}`), image.manifest)
    await Promise.all(
      [image.config, ...image.layers].map((blob) => expectBytes(client.get(`${at}/blobs/${digestOf(blob)}`), blob))
    )
    const layer = image.layers[0] as Buffer
    const rest = client.get(`${at}/blobs/${digestOf(layer)}`, { range: 'bytes=12345-' })
    await expectBytes(rest, layer.subarray(12345), 206)
    expect((await rest).headers['content-range']).toBe('bytes 12345-49999/50000')
  })

  it('of containerd through hosts.toml: the upstream as ns, no ping, compressed answers offered', async () => {
    const { client, backend } = await startRegistry()
    const image = addImage(backend, 'ghcr.io/org/app', '1', 50_000)
    const head = await client.head('/v2/org/app/manifests/1?ns=ghcr.io', { accept: DOCKER_ACCEPT.join(', ') })
    expectManifestHead(head, image.index, MEDIA_TYPE.ociIndex)
    expect(head.headers['oci-namespace']).toBe('ghcr.io')
    const accept = `${MEDIA_TYPE.ociIndex}, */*`
    const byDigest = client.get(`/v2/org/app/manifests/${digestOf(image.index)}?ns=ghcr.io`, { accept })
    await expectBytes(byDigest, image.index)
    const layer = image.layers[0] as Buffer
    const blob = `/v2/org/app/blobs/${digestOf(layer)}?ns=ghcr.io`
    const encodings = { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }
    await expectBytes(client.get(blob, encodings), layer)
    await expectBytes(client.get(blob, { ...encodings, range: 'bytes=0-' }), layer, 206)
    await Promise.all(
      [0, 1, 2, 3, 4].map((part) =>
        expectBytes(
          client.get(blob, { range: `bytes=${part * 10_000}-${part * 10_000 + 9_999}` }),
          layer.subarray(part * 10_000, (part + 1) * 10_000),
          206
        )
      )
    )
    const referrers = `/v2/org/app/referrers/${digestOf(image.index)}?artifactType=a%2Fb&ns=ghcr.io`
    expect((await client.get(referrers)).json()).toMatchObject({ manifests: [] })
    expect((await client.head('/v2/org/app/manifests/1')).status).toBe(404)
  })

  it('of podman with a mirror location: the upstream as prefix, manifests without HEAD', async () => {
    const { client, backend } = await startRegistry()
    const image = addImage(backend, 'ghcr.io/org/app', '1', 50_000, 60_000)
    expect((await client.get('/v2/')).status).toBe(200)
    const at = '/v2/ghcr.io/org/app'
    await expectBytes(client.get(`${at}/manifests/1`, { accept: DOCKER_ACCEPT }), image.index)
    await expectBytes(client.get(`${at}/manifests/${digestOf(image.manifest)}`), image.manifest)
    await Promise.all(
      [image.config, ...image.layers].map((blob) => expectBytes(client.get(`${at}/blobs/${digestOf(blob)}`), blob))
    )
    const signature = `sha256-${digestOf(image.index).slice(7)}.sig`
    expect((await client.get(`${at}/manifests/${signature}`)).status).toBe(404)
  })

  it('of what nobody has go on at the next host: 404, never a challenge', async () => {
    const { client } = await startRegistry()
    const digest = digestOf(randomBytes(8))
    const paths = ['manifests/3', `manifests/${digest}`, `blobs/${digest}`]
    for (const rest of paths) {
      for (const path of [`/v2/library/x/${rest}`, `/v2/org/x/${rest}?ns=ghcr.io`, `/v2/ghcr.io/org/x/${rest}`]) {
        const answer = await client.get(path)
        expect(answer.status).toBe(404)
        expect(answer.headers).not.toHaveProperty('www-authenticate')
      }
    }
  })
})

describe('pushes', () => {
  const start = async () => {
    const { client, backend } = await startRegistry()
    const blob = randomBytes(50_000)
    backend.addBlob('team/base' as Repository, Buffer.from('{}'))
    const config = digestOf(Buffer.from('{}'))
    expect((await client.send('POST', `/v2/team/app/blobs/uploads/?mount=${config}&from=team/base`)).status).toBe(201)
    return { client, blob, digest: digestOf(blob), manifest: imageManifest(Buffer.from('{}'), [blob]) }
  }
  const missing = async (client: TestClient, digest: string) =>
    expect((await client.head(`/v2/team/app/blobs/${digest}`)).status).toBe(404)
  const begin = async (client: TestClient, query = '') => {
    const answer = await client.send('POST', `/v2/team/app/blobs/uploads/${query}`)
    expect(answer.status).toBe(202)
    return answer.headers.location ?? ''
  }
  const putManifest = async (client: TestClient, manifest: Buffer) => {
    const headers = { 'content-type': MEDIA_TYPE.ociManifest }
    const answer = await client.send('PUT', '/v2/team/app/manifests/1', { headers, body: manifest })
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([201, digestOf(manifest)])
  }

  it('of Docker, podman and crane: mount that fails, a stream, then the digest alone', async () => {
    const { client, blob, digest, manifest } = await start()
    await missing(client, digest)
    const location = await begin(client, `?from=team%2Fbase&mount=${encodeURIComponent(digest)}`)
    const headers = { 'transfer-encoding': 'chunked' }
    const sent = await client.send('PATCH', location, { body: blob, headers })
    const next = sent.headers.location ?? ''
    expect((await client.send('PUT', `${next}?digest=${encodeURIComponent(digest)}`)).status).toBe(201)
    expect((await client.head('/v2/team/app/manifests/1')).status).toBe(404)
    await putManifest(client, manifest)
  })

  it('of containerd and oras: everything in one PUT', async () => {
    const { client, blob, digest, manifest } = await start()
    await missing(client, digest)
    const location = await begin(client)
    expect((await client.send('PUT', `${location}?digest=${digest}`, { body: blob })).status).toBe(201)
    await putManifest(client, manifest)
  })

  it('of skopeo, which drops the session that a mount left', async () => {
    const { client, digest } = await start()
    const location = await begin(client, `?mount=${digest}&from=team/base`)
    expect((await client.send('DELETE', location)).status).toBe(204)
  })

  it('through an address with ns keep it in every Location', async () => {
    const { client, blob, digest } = await start()
    const answer = await client.send('POST', '/v2/team/app/blobs/uploads/?ns=localhost:5000')
    const location = answer.headers.location ?? ''
    expect(location).toMatch(/^\/v2\/team\/app\/blobs\/uploads\/[^?]+\?ns=localhost%3A5000$/)
    const done = await client.send('PUT', `${location}&digest=${digest}`, { body: blob })
    expect([done.status, done.headers.location]).toEqual([201, `/v2/team/app/blobs/${digest}?ns=localhost%3A5000`])
    expect((await client.get(done.headers.location ?? '')).status).toBe(200)
  })
})
