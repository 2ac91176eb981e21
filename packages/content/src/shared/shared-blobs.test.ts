import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestHex, digestOf, parseDigest } from '@layermesh/oci'
import { expect, it, vi } from 'vitest'
import type { ContentStore } from '../interfaces.ts'
import type { ContentStoreOptions } from '../options.ts'
import { collect, whole } from '../testing/bytes.ts'
import { flipBit, openStore, PATIENT, temporaryDirectory } from '../testing/stores.ts'

const MIB = 1024 * 1024
const LARGE = Buffer.alloc(3 * MIB + 17, 'layer')
const { signal } = new AbortController()

/** A directory as containerd has it. */
class Containerd {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  static async create(): Promise<Containerd> {
    const containerd = new Containerd(await temporaryDirectory())
    await mkdir(join(containerd.directory, 'blobs', 'sha256'), { recursive: true })
    return containerd
  }

  pathOf(digest: Digest): string {
    return join(this.directory, 'blobs', 'sha256', digestHex(digest))
  }

  async put(bytes: Uint8Array, digest = digestOf(bytes)): Promise<Digest> {
    await writeFile(this.pathOf(digest), bytes)
    return digest
  }
}

function open(containerd: Containerd, options: Partial<ContentStoreOptions> = {}, directory?: string) {
  return openStore({ containerd: containerd.directory, containerdPatienceMs: 60_000, ...options }, directory)
}

async function contentOf(store: ContentStore, digest: Digest): Promise<Buffer | undefined> {
  const reader = await store.shared?.open(digest)
  return reader && Buffer.from(await collect(reader.read(whole(reader))))
}

it('gives what is there, with the hashes of its pieces, and counts none of it as its own', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const empty = await containerd.put(Buffer.alloc(0))
  const store = await open(containerd)
  expect(await store.shared?.stat(digest)).toEqual({ digest, size: LARGE.length })
  expect(await contentOf(store, digest)).toEqual(LARGE)
  expect(await contentOf(store, empty)).toEqual(Buffer.alloc(0))
  const some = await store.shared?.readAt(digest, { start: MIB + 1, end: MIB + 9 })
  expect(Buffer.from(some ?? '')).toEqual(LARGE.subarray(MIB + 1, MIB + 9))
  const { pieceLength, hashes } = (await store.shared?.pieceHashes(digest)) ?? expect.fail()
  expect(pieceLength).toBe(MIB)
  expect(Buffer.from(hashes.subarray(32, 64))).toEqual(
    createHash('sha256')
      .update(LARGE.subarray(MIB, 2 * MIB))
      .digest()
  )
  expect([store.blobs.count(), store.blobs.usedBytes(), await store.blobs.stat(digest)]).toEqual([0, 0, undefined])
  expect(await store.shared?.open(digestOf(Buffer.from('elsewhere')))).toBeUndefined()
  expect(await store.shared?.open(digestOf(LARGE, 'sha512'))).toBeUndefined()
})

it('is not there unless it was named', async () => {
  expect((await openStore()).shared).toBeUndefined()
})

it('gives nothing of a file that is not what its name says, and says so once', async () => {
  const containerd = await Containerd.create()
  const digest = digestOf(LARGE)
  await containerd.put(Buffer.concat([LARGE, Buffer.from('x')]), digest)
  const onCorrupt = vi.fn()
  const store = await open(containerd, { onCorrupt })
  expect(await store.shared?.stat(digest)).toBeUndefined()
  expect(await store.shared?.look(signal)).toEqual([])
  expect(await contentOf(store, digest)).toBeUndefined()
  expect(onCorrupt.mock.calls).toEqual([[{ digest, pieces: [] }]])
  // Another file in its place is looked at anew.
  await rm(containerd.pathOf(digest))
  await containerd.put(LARGE)
  expect(await contentOf(store, digest)).toEqual(LARGE)
})

it('notices bytes that changed after they were verified', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const onCorrupt = vi.fn()
  const store = await open(containerd, { onCorrupt })
  const reader = (await store.shared?.open(digest)) ?? expect.fail()
  await flipBit(containerd.pathOf(digest), 2 * MIB)
  await expect(collect(reader.read(whole(reader)))).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  expect(onCorrupt).toHaveBeenCalledWith({ digest, pieces: [2] })
  expect(await store.shared?.open(digest)).toBeUndefined()
})

it('remembers what it verified as long as it is the same file, over a restart too', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const directory = await temporaryDirectory()
  const then = new Date(1_000_000_000_000)
  await utimes(containerd.pathOf(digest), then, then)
  const first = await open(containerd, {}, directory)
  expect(await first.shared?.look(signal)).toEqual([{ digest, size: LARGE.length }])
  await first.close()
  // Other bytes in what looks like the same file show when they are read: it was not read through again before.
  await flipBit(containerd.pathOf(digest), 0)
  await utimes(containerd.pathOf(digest), then, then)
  const second = await open(containerd, {}, directory)
  expect(await second.shared?.look(signal)).toEqual([{ digest, size: LARGE.length }])
  await expect(contentOf(second, digest)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
  expect(await second.shared?.look(signal)).toEqual([])
})

it('does not take another file for the one that it verified', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const directory = await temporaryDirectory()
  const first = await open(containerd, {}, directory)
  expect(await first.shared?.look(signal)).toHaveLength(1)
  await first.close()
  await rm(containerd.pathOf(digest))
  await containerd.put(Buffer.alloc(LARGE.length, 'other'), digest)
  const second = await open(containerd, {}, directory)
  expect(await second.shared?.look(signal)).toEqual([])
})

it('makes nobody wait long for what takes long to verify, and has it for whoever asks again', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const store = await open(containerd, { containerdPatienceMs: 0 })
  expect(await store.shared?.stat(digest)).toBeUndefined()
  await vi.waitFor(async () => expect(await store.shared?.stat(digest)).toBeDefined(), PATIENT)
})

it('forgets what is gone, and lets go of its file', async () => {
  const containerd = await Containerd.create()
  const digest = await containerd.put(LARGE)
  const store = await open(containerd)
  expect(await store.shared?.look(signal)).toHaveLength(1)
  const reader = (await store.shared?.open(digest)) ?? expect.fail()
  await rm(containerd.pathOf(digest))
  expect(await store.shared?.look(signal)).toEqual([])
  expect(await store.shared?.open(digest)).toBeUndefined()
  await expect(collect(reader.read(whole(reader)))).rejects.toMatchObject({ code: 'BLOB_GONE' })
  await vi.waitFor(async () => expect(await openFiles(containerd.directory)).toEqual([]), PATIENT)
})

async function openFiles(directory: string): Promise<string[]> {
  const names = await readdir('/proc/self/fd')
  const targets = await Promise.all(names.map((name) => readlink(join('/proc/self/fd', name)).catch(() => '')))
  return targets.filter((target) => target.startsWith(directory))
}

it('opens neither links nor what has another name, and writes nothing', async () => {
  const containerd = await Containerd.create()
  const secret = join(await temporaryDirectory(), 'secret')
  await writeFile(secret, LARGE)
  const digest = digestOf(LARGE)
  await symlink(secret, containerd.pathOf(digest))
  await writeFile(join(containerd.directory, 'blobs', 'sha256', 'ingest'), 'x')
  await mkdir(containerd.pathOf(parseDigest(`sha256:${'a'.repeat(64)}`)))
  const store = await open(containerd)
  expect(await store.shared?.look(signal)).toEqual([])
  expect(await store.shared?.open(digest)).toBeUndefined()
  expect(await readFile(secret)).toEqual(LARGE)
})

it('says why it can not be read, and goes on once it can', async () => {
  const containerd = await Containerd.create()
  await rm(join(containerd.directory, 'blobs'), { recursive: true })
  const store = await open(containerd)
  await expect(store.shared?.look(signal)).rejects.toMatchObject({ code: 'ENOENT' })
  expect(await store.shared?.open(digestOf(LARGE))).toBeUndefined()
  await mkdir(join(containerd.directory, 'blobs', 'sha256'), { recursive: true })
  await containerd.put(LARGE)
  expect(await store.shared?.look(signal)).toHaveLength(1)
})

it('gives many at once what they want, reading each file through once', async () => {
  const containerd = await Containerd.create()
  const digests = await Promise.all(
    Array.from({ length: 12 }, (_, i) => containerd.put(Buffer.alloc(MIB + i, String(i))))
  )
  const store = await open(containerd)
  const sizes = await Promise.all(
    [...digests, ...digests].map(async (digest) => (await contentOf(store, digest))?.length)
  )
  expect(sizes).toEqual([...digests, ...digests].map((_, i) => MIB + (i % 12)))
  expect((await openFiles(containerd.directory)).length).toBeLessThanOrEqual(8)
})
