import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, MEDIA_TYPE, OciError } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import type { OpenBlob, RegistryBackend } from './interfaces.ts'
import { REGISTRY_DEFAULTS, REGISTRY_SERVER_DEFAULTS } from './options.ts'
import { FakeMirrors } from './testing/fake-mirrors.ts'
import { addImage } from './testing/images.ts'
import type { MemoryBackend } from './testing/memory-backend.ts'
import { startRegistry } from './testing/start.ts'

/*
 * What clients send to a mirror (registries.md, appendix A1 to A3) of images that no node has yet, so that they come from
 * their registry while the client waits: the contract that all of them need (registries.md §6.6).
 */

const ACCEPT = [
  MEDIA_TYPE.dockerSchema1Signed,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerManifestList,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex
]
/** Go's clients drop idle connections after so long, and must be the first to do so. */
const GO_IDLE_MS = 90_000
/** containerd waits so long for the head of an answer. */
const GO_HEADER_MS = 30_000

/** How a layer comes: `gate` resolves when its first bytes are here, and it breaks off after `breaksAfter` bytes. */
interface Coming {
  gate?: Promise<void>
  breaksAfter?: number
}

/** A registry in front of Docker Hub and ghcr.io, whose blobs come as the test says. */
async function startCold(coming: Coming = {}, options: Parameters<typeof startRegistry>[0] = {}) {
  const opened: string[] = []
  const mirrors = new FakeMirrors()
  const wrap = (backend: MemoryBackend): RegistryBackend => ({
    mirrors,
    manifests: backend.manifests,
    tags: backend.tags,
    uploads: backend.uploads,
    catalog: (page) => backend.catalog(page),
    blobs: {
      ...backend.blobs,
      open: async (repository, digest, signal) => {
        opened.push(digest)
        const blob = await backend.blobs.open(repository, digest, signal)
        return blob && comesAs(blob, coming)
      }
    }
  })
  const registry = await startRegistry(options, wrap)
  const images = {
    hub: addImage(registry.backend, 'docker.io/library/alpine', '3', 50_000, 60_000, 70_000),
    ghcr: addImage(registry.backend, 'ghcr.io/org/app', '1', 50_000, 60_000)
  }
  return { ...registry, ...images, opened, mirrors }
}

function comesAs(blob: OpenBlob, { gate, breaksAfter = Number.POSITIVE_INFINITY }: Coming): OpenBlob {
  return {
    ...blob,
    async *read(range, signal) {
      await gate
      let sent = 0
      for await (const chunk of blob.read({ ...range, end: Math.min(range.end, range.start + breaksAfter) }, signal)) {
        sent += chunk.byteLength
        yield chunk
      }
      if (sent >= breaksAfter) throw Object.assign(new Error('sources ran dry'), { code: 'DOWNLOAD_FAILED' })
    }
  }
}

describe('a cold pull', () => {
  it('A1 by classic Docker: no hint, HEAD by tag, then everything by digest', async () => {
    const { client, hub } = await startCold()
    const at = '/v2/library/alpine'
    expect((await client.get('/v2/')).status).toBe(200)
    const head = await client.head(`${at}/manifests/3`, { accept: ACCEPT })
    expect(head).toMatchObject({
      status: 200,
      headers: {
        'content-type': MEDIA_TYPE.ociIndex,
        'content-length': String(hub.index.byteLength),
        'docker-content-digest': digestOf(hub.index)
      }
    })
    for (const manifest of [hub.index, hub.manifest]) {
      const answer = await client.get(`${at}/manifests/${digestOf(manifest)}`, { accept: ACCEPT })
      expect([answer.status, answer.body.equals(manifest)]).toEqual([200, true])
    }
    const blobs = [hub.config, ...hub.layers]
    const answers = await Promise.all(blobs.map((blob) => client.get(`${at}/blobs/${digestOf(blob)}`)))
    expect(answers.map(({ body }, index) => body.equals(blobs[index] as Buffer))).toEqual(blobs.map(() => true))
    const layer = hub.layers[0] as Buffer
    const rest = await client.get(`${at}/blobs/${digestOf(layer)}`, { range: 'bytes=12345-' })
    expect([rest.status, rest.headers['content-range']]).toEqual([206, 'bytes 12345-49999/50000'])
    expect(rest.body.equals(layer.subarray(12345))).toBe(true)
  })

  it('A2 by containerd: ns, no ping, parts of one layer at once, and no encoding whatever it offers', async () => {
    const { client, ghcr } = await startCold()
    const query = '?ns=ghcr.io'
    const head = await client.head(`/v2/org/app/manifests/1${query}`, { accept: ACCEPT.join(', ') })
    expect([head.status, head.headers['docker-content-digest']]).toEqual([200, digestOf(ghcr.index)])
    expect((await client.head(`/v2/org/app/manifests/2${query}`)).status).toBe(404)
    const layer = ghcr.layers[0] as Buffer
    const url = `/v2/org/app/blobs/${digestOf(layer)}${query}`
    const encodings = { 'accept-encoding': 'zstd;q=1.0, gzip;q=0.8, deflate;q=0.5' }
    const parts = await Promise.all(
      [0, 1, 2, 3, 4].map((part) =>
        client.get(url, { ...encodings, range: `bytes=${part * 10_000}-${part * 10_000 + 9_999}` })
      )
    )
    expect(parts.map(({ status, headers }) => [status, headers['content-encoding']])).toEqual(
      parts.map(() => [206, undefined])
    )
    expect(Buffer.concat(parts.map(({ body }) => body)).equals(layer)).toBe(true)
  })

  it('A3 by podman: the registry in the path, six layers at once, and a signature that there is not', async () => {
    const { client, ghcr } = await startCold()
    const at = '/v2/ghcr.io/org/app'
    expect((await client.get('/v2/')).status).toBe(200)
    expect((await client.get(`${at}/manifests/1`, { accept: ACCEPT })).body.equals(ghcr.index)).toBe(true)
    const blobs = [ghcr.config, ...ghcr.layers, ghcr.config, ...ghcr.layers]
    const answers = await Promise.all(blobs.map((blob) => client.get(`${at}/blobs/${digestOf(blob)}`)))
    expect(answers.map(({ body }, index) => body.equals(blobs[index] as Buffer))).toEqual(blobs.map(() => true))
    expect((await client.get(`${at}/manifests/sha256-${digestOf(ghcr.index).slice(7)}.sig`)).status).toBe(404)
  })
})

describe('a cold layer', () => {
  it('has the head of its answer with its first bytes, so that what can not be had is 404 until then', async () => {
    let come = () => {}
    const gate = new Promise<void>((resolve) => {
      come = resolve
    })
    const { client, hub } = await startCold({ gate })
    const connection = client.raw()
    connection.write(`GET /v2/library/alpine/blobs/${digestOf(hub.layers[0] as Buffer)} HTTP/1.1\r\nHost: a\r\n\r\n`)
    const early = await Promise.race([connection.until(/HTTP/), sleep(200)])
    expect(early).toBeUndefined()
    come()
    expect(await connection.until(/\r\n\r\n/)).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    connection.reset()
  })

  it('that does not come in time is 404, long before clients give the mirror up', async () => {
    const { client, hub } = await startCold({ gate: new Promise(() => {}) }, { answerTimeoutMs: 100 })
    const answer = await client.get(`/v2/library/alpine/blobs/${digestOf(hub.config)}`)
    expect([answer.status, answer.errorCode()]).toEqual([404, 'NAME_UNKNOWN'])
    expect(REGISTRY_DEFAULTS.answerTimeoutMs).toBeLessThan(GO_HEADER_MS)
  })

  it('that fails before its first byte is 404; after it, the connection is cut', async () => {
    const before = await startCold({ breaksAfter: 0 })
    expect((await before.client.get(`/v2/library/alpine/blobs/${digestOf(before.hub.config)}`)).status).toBe(404)
    const after = await startCold({ breaksAfter: 100 })
    await expect(
      after.client.get(`/v2/library/alpine/blobs/${digestOf(after.hub.layers[0] as Buffer)}`)
    ).rejects.toThrow()
  })

  it('is not brought by HEAD', async () => {
    const { client, hub, opened } = await startCold()
    const answer = await client.head(`/v2/library/alpine/blobs/${digestOf(hub.layers[0] as Buffer)}`)
    expect([answer.status, answer.headers['content-length'], opened]).toEqual([200, '50000', []])
  })

  it('can not be had as a part that it has not', async () => {
    const { client, hub } = await startCold()
    const url = `/v2/library/alpine/blobs/${digestOf(hub.layers[0] as Buffer)}`
    const answer = await client.get(url, { range: 'bytes=50000-' })
    expect([answer.status, answer.headers['content-range']]).toEqual([416, 'bytes */50000'])
  })
})

describe('whatever goes wrong with a mirrored image', () => {
  it.each(['registry', 'mirror'] as const)('is 404 on the %s, which clients take for: go to the next', async (face) => {
    const { client, mirrors } = await startCold({}, { face })
    for (const fail of [
      () => false,
      () => {
        throw new OciError('TOOMANYREQUESTS', 'slow down')
      },
      () => {
        throw new Error('a bug')
      }
    ]) {
      mirrors.admitted = fail
      const digest = digestOf(Buffer.from('nothing'))
      for (const rest of [
        'manifests/3',
        `manifests/${digest}`,
        `blobs/${digest}`,
        'tags/list',
        `referrers/${digest}`
      ]) {
        for (const url of [
          `library/alpine/${rest}`,
          `library/alpine/${rest}?ns=docker.io`,
          `docker.io/library/alpine/${rest}`
        ]) {
          const answer = await client.get(`/v2/${url}`, { authorization: 'Basic YTpi' })
          expect([url, answer.status, answer.headers['www-authenticate']]).toEqual([url, 404, undefined])
        }
      }
    }
  })

  it('leaves connections open for longer than clients keep them', () => {
    expect(REGISTRY_SERVER_DEFAULTS.keepAliveTimeoutMs).toBeGreaterThan(GO_IDLE_MS)
  })
})
