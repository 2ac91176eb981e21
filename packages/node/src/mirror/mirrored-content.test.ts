import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlobReader, type ContentStore, openContentStore } from '@layermesh/content'
import type { BlobRequest } from '@layermesh/mesh'
import { type Digest, digestOf, MEDIA_TYPE, mirroredRepository } from '@layermesh/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readWhole } from '../backend/resuming-blob.ts'
import type { SeedRouter } from '../backend/seed-router.ts'
import { FakeUpstream, mirrorsOf } from '../testing/fake-upstream.ts'
import { MirroredBlobs } from './mirrored-blobs.ts'
import { MirroredContent } from './mirrored-content.ts'
import { MirroredManifests } from './mirrored-manifests.ts'

const repository = mirroredRepository('docker.io', 'library/app')
const another = mirroredRepository('docker.io', 'library/another')
const layer = Buffer.alloc(50_000, 'layer')
const config = Buffer.from('{}')
const describeBlob = (mediaType: string, bytes: Buffer) => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.byteLength
})
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: describeBlob('application/vnd.oci.image.config.v1+json', config),
    layers: [describeBlob('application/vnd.oci.image.layer.v1.tar', layer)]
  })
)
const signal = () => AbortSignal.timeout(120_000)

let directory: string
let content: ContentStore
let upstream: FakeUpstream
/** What peers hold and say to be in the repository. */
let peers: Map<Digest, Buffer>
let requests: BlobRequest[]
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-mirrored-'))
  content = await openContentStore(directory)
  upstream = new FakeUpstream()
  for (const bytes of [layer, config]) upstream.add(bytes)
  upstream.tag('library/app:1', manifest)
  peers = new Map()
  requests = []
})
afterEach(async () => {
  await content.close()
  await rm(directory, { recursive: true })
})

/** Brings a blob as the mesh does: from peers, else from the origin. */
async function fetchBlob(digest: Digest, request: BlobRequest): Promise<BlobReader | undefined> {
  requests.push(request)
  return await content.downloads.fetch(digest, async (wanted, begin, stop) => {
    const bytes = peers.get(wanted) ?? (await fromOrigin(wanted, request, stop))
    if (!bytes) return false
    const blob = await begin({ size: bytes.byteLength, cutThrough: false })
    for (let piece = 0; piece < blob.pieceCount; piece++) {
      await blob.write(piece, Buffer.from(bytes.subarray(piece * blob.pieceLength, (piece + 1) * blob.pieceLength)))
    }
    return true
  })
}

async function fromOrigin(digest: Digest, { origin }: BlobRequest, stop: AbortSignal): Promise<Buffer | undefined> {
  const opened = await origin?.open(digest, 0, stop)
  if (!opened) return undefined
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function makeMirror(isolates = false) {
  const mirrors = mirrorsOf(upstream, { isolates })
  const origins = new MirroredContent({ log: { debug: () => {} } })
  const router = { confirm: async (_: unknown, digest: Digest) => (peers.has(digest) ? ['peer'] : []) }
  const shared = { mirrors, origins, content, router: router as unknown as SeedRouter, fetch: fetchBlob }
  const log = { debug: () => {} }
  return {
    manifests: new MirroredManifests({ ...shared, expect: () => {}, log }),
    blobs: new MirroredBlobs({ ...shared, log })
  }
}

const read = async (reader: BlobReader | undefined) =>
  reader && Buffer.from(await readWhole(reader, 1_000_000, signal()))

describe('a manifest of another registry', () => {
  it('is brought by its digest, and what it names may be pulled then without asking whether it is there', async () => {
    const { manifests, blobs } = makeMirror()
    const digest = digestOf(manifest)
    const found = await manifests.find(repository, digest, signal())
    expect(found).toMatchObject({ result: 'upstream', manifest: { digest, mediaType: MEDIA_TYPE.ociManifest } })
    expect(Buffer.from(found?.manifest.bytes ?? []).equals(manifest)).toBe(true)
    expect(upstream.asked).toEqual([`HEAD library/app ${digest} node`, `GET library/app ${digest} node`])
    expect(await read(await blobs.open(repository, digestOf(layer), signal()))).toEqual(layer)
    expect(upstream.asked.slice(2)).toEqual([`GET blob library/app ${digestOf(layer)} node`])
    expect(requests.at(-1)).toMatchObject({ size: layer.byteLength })
  })

  it('is taken from here the next time, with its registry gone', async () => {
    const { manifests } = makeMirror()
    await manifests.find(repository, digestOf(manifest), signal())
    upstream.failing = 'UNREACHABLE'
    expect(await makeMirror().manifests.find(repository, digestOf(manifest), signal())).toMatchObject({ result: 'hit' })
  })

  it('is taken from peers that say it is there, when its registry does not answer', async () => {
    peers.set(digestOf(manifest), manifest)
    upstream.failing = 'UNAVAILABLE'
    const found = await makeMirror().manifests.find(repository, digestOf(manifest), signal())
    expect(found?.result).toBe('mesh')
    expect(requests[0]?.candidates).toEqual(['peer'])
  })

  it.each(['UNREACHABLE', 'RATE_LIMITED', 'DENIED', 'UNSAFE', 'MALFORMED'] as const)(
    'is not there when nobody has it and its registry answers %s',
    async (failure) => {
      upstream.failing = failure
      expect(await makeMirror().manifests.find(repository, digestOf(manifest), signal())).toBeUndefined()
    }
  )

  it('is not there when it is no manifest', async () => {
    const digest = upstream.add(Buffer.from('[]'))
    expect(await makeMirror().manifests.find(repository, digest, signal())).toBeUndefined()
  })
})

describe('a blob of another registry', () => {
  it('is shown in no repository that neither its registry nor peers say it is in, though it is here', async () => {
    const { blobs, manifests } = makeMirror()
    await manifests.find(repository, digestOf(manifest), signal())
    await read(await blobs.open(repository, digestOf(layer), signal()))
    upstream.drop(digestOf(layer))
    expect(await blobs.open(another, digestOf(layer), signal())).toBeUndefined()
    expect(await blobs.stat(another, digestOf(layer), signal())).toBeUndefined()
    expect(await blobs.open(repository, digestOf(layer), signal())).toMatchObject({ complete: true })
  })

  it('is asked for once a minute at most, and after a moment when it was not there', async () => {
    const { blobs } = makeMirror()
    const digest = digestOf(Buffer.from('nothing'))
    for (let time = 0; time < 3; time++) await blobs.open(repository, digest, signal())
    expect(upstream.asked).toEqual([`HEAD blob library/app ${digest} node`])
  })

  it('has its length by HEAD without being brought, or by the manifest without any question', async () => {
    const { blobs, manifests } = makeMirror()
    expect(await blobs.stat(repository, digestOf(layer), signal())).toBe(layer.byteLength)
    expect(upstream.asked).toEqual([`HEAD blob library/app ${digestOf(layer)} node`])
    await manifests.find(repository, digestOf(manifest), signal())
    const before = upstream.asked.length
    expect(await blobs.stat(repository, digestOf(config), signal())).toBe(config.byteLength)
    expect([upstream.asked.length, await content.blobs.stat(digestOf(config))]).toEqual([before, undefined])
  })

  it('is brought again when its bytes were removed here', async () => {
    const { blobs, manifests } = makeMirror()
    await manifests.find(repository, digestOf(manifest), signal())
    await read(await blobs.open(repository, digestOf(layer), signal()))
    await content.downloads.whole(digestOf(layer))
    await content.blobs.delete(digestOf(layer))
    expect(await read(await blobs.open(repository, digestOf(layer), signal()))).toEqual(layer)
  })

  it('is not there when its registry breaks off', async () => {
    const { blobs, manifests } = makeMirror()
    await manifests.find(repository, digestOf(manifest), signal())
    upstream.failing = 'UNAVAILABLE'
    expect(await blobs.open(repository, digestOf(layer), signal())).toBeUndefined()
  })
})

describe('a blob of which its registry gives other bytes', () => {
  it('is not fetched again for a while by who was given them, but taken from where it is right', async () => {
    const { blobs } = makeMirror()
    const digest = digestOf(layer)
    upstream.spoil(digest, Buffer.alloc(layer.byteLength, 'wrong'))
    const failure = await read(await blobs.open(repository, digest, signal())).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'DOWNLOAD_FAILED' })
    blobs.noteFailure(repository, digest, failure)
    expect(await blobs.open(repository, digest, signal())).toBeUndefined()
    expect(upstream.asked.filter((asked) => asked.startsWith('GET blob'))).toHaveLength(1)
    peers.set(digest, layer)
    await read(await fetchBlob(digest, {}))
    await content.repositories.linkBlobs(repository, [digest])
    expect(await read(await blobs.open(repository, digest, signal()))).toEqual(layer)
  })

  it('is fetched again when it was a peer that gave them', async () => {
    const { blobs } = makeMirror()
    const digest = digestOf(layer)
    peers.set(digest, Buffer.alloc(layer.byteLength, 'wrong'))
    const failure = await read(await blobs.open(repository, digest, signal())).catch((error: unknown) => error)
    blobs.noteFailure(repository, digest, failure)
    peers.clear()
    expect(await read(await blobs.open(repository, digest, signal()))).toEqual(layer)
  })
})

describe('where not all clients may see all that a node holds', () => {
  /** Somebody who may push to another repository names what he may not see, and knows by its digest alone. */
  const names = (text: object) => upstream.add(Buffer.from(JSON.stringify({ schemaVersion: 2, ...text })))

  it('what a manifest names is shown only if the registry says that it is in the repository', async () => {
    const { manifests, blobs } = makeMirror(true)
    await manifests.find(repository, digestOf(manifest), signal())
    await read(await blobs.open(repository, digestOf(layer), signal()))
    const layers = [describeBlob(MEDIA_TYPE.ociLayerGzip, layer)]
    const theirs = names({
      mediaType: MEDIA_TYPE.ociManifest,
      config: describeBlob(MEDIA_TYPE.ociConfig, config),
      layers
    })
    expect(await manifests.find(another, theirs, signal())).toBeDefined()
    const head = upstream.headBlob.bind(upstream)
    upstream.headBlob = async (name, digest, request) =>
      name === 'library/another' ? undefined : await head(name, digest, request)
    expect(await blobs.open(another, digestOf(layer), signal())).toBeUndefined()
    expect(await blobs.stat(another, digestOf(layer), signal())).toBeUndefined()
    expect(await blobs.open(repository, digestOf(layer), signal())).toMatchObject({ complete: true })
  })

  it('an index brings no other image into its repository', async () => {
    const { manifests } = makeMirror(true)
    await manifests.find(repository, digestOf(manifest), signal())
    const theirs = names({
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [describeBlob(MEDIA_TYPE.ociManifest, manifest)]
    })
    expect(await manifests.find(another, theirs, signal())).toBeDefined()
    const head = upstream.headManifest.bind(upstream)
    upstream.headManifest = async (name, digest, request) =>
      name === 'library/another' ? undefined : await head(name, digest, request)
    expect(await manifests.find(another, digestOf(manifest), signal())).toBeUndefined()
  })

  it('what was proved once needs no proof again, with the registry gone', async () => {
    const { manifests, blobs } = makeMirror(true)
    await manifests.find(repository, digestOf(manifest), signal())
    await read(await blobs.open(repository, digestOf(layer), signal()))
    upstream.failing = 'UNREACHABLE'
    expect(await read(await makeMirror(true).blobs.open(repository, digestOf(layer), signal()))).toEqual(layer)
  })
})
