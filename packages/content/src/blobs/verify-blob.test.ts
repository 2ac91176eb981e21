import fileSystem, { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { type Digest, digestOf } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { Files } from '../disk/files.ts'
import { hashFilePieces } from '../hashing/file-pieces.ts'
import { HashPool } from '../hashing/hash-pool.ts'
import type { Corruption } from '../options.ts'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { sourceOf } from '../testing/sources.ts'
import { blobPath, contentsOf, flipBit, openFilesBelow, openStore, temporaryDirectory } from '../testing/stores.ts'
import { findBadPieces } from './verify-blob.ts'

const BYTES = bytesOf(11 * MIB + 1234)
const DIGEST = digestOf(BYTES)
const unpaced = async () => {}

async function openWith(digest = DIGEST, bytes = BYTES) {
  const directory = await temporaryDirectory()
  const corruptions: Corruption[] = []
  const store = await openStore({ onCorrupt: (corruption) => corruptions.push(corruption) }, directory)
  await store.blobs.put(digest, bytes)
  return { store, directory, corruptions, path: blobPath(directory, digest) }
}

it('reads all of a blob, and has it go on being here when it is right', async () => {
  const { store, directory } = await openWith()
  const paces: number[] = []
  const verdict = await store.blobs.verify(DIGEST, async (bytes) => void paces.push(bytes))
  expect(verdict).toEqual({ digest: DIGEST, size: BYTES.byteLength, isLost: false, badPieces: [] })
  expect(paces).toEqual([8 * MIB, 3 * MIB + 1234])
  expect(await store.blobs.stat(DIGEST)).toBeDefined()
  await store.blobs.delete(DIGEST)
  expect(await openFilesBelow(join(directory, 'blobs'))).toEqual([])
})

it.each([
  ['SHA-512', bytesOf(3 * MIB), 'sha512'],
  ['no bytes', bytesOf(0), 'sha256']
] as const)('takes a blob of %s', async (_, bytes, algorithm) => {
  const digest = digestOf(bytes, algorithm)
  const { store } = await openWith(digest, bytes)
  expect(await store.blobs.verify(digest, unpaced)).toMatchObject({ badPieces: [] })
})

it('finds all pieces that are bad, also those that were read right before, and lacks them from then on', async () => {
  const { store, path, corruptions } = await openWith()
  await contentsOf(store, DIGEST)
  for (const position of [0, 9 * MIB, BYTES.byteLength - 1]) await flipBit(path, position)
  expect(await store.blobs.verify(DIGEST, unpaced)).toMatchObject({ isLost: false, badPieces: [0, 9, 11] })
  expect(corruptions).toEqual([{ digest: DIGEST, pieces: [0, 9, 11] }])
  expect(await store.blobs.stat(DIGEST)).toBeUndefined()
  const source = sourceOf(BYTES)
  await store.downloads.fetch(DIGEST, source)
  await store.downloads.whole(DIGEST)
  expect(Buffer.compare((await contentsOf(store, DIGEST)) ?? Buffer.alloc(0), BYTES)).toBe(0)
})

it('takes no blob whose pieces are as they were written down, and that has another digest', async () => {
  const { path } = await openWith()
  const pool = new HashPool({ threads: 1, idleMs: 1_000 })
  const files = new Files(fileSystem)
  onTestFinished(() => pool.close())
  const file = await files.openForReading(path)
  const size = BYTES.byteLength
  const hashes = await hashFilePieces(pool, file, size, MIB)
  const onDisk = { file, size, pieceLength: MIB, hashes }
  expect(await findBadPieces(pool, { ...onDisk, digest: DIGEST }, unpaced)).toEqual([])
  const other = digestOf(bytesOf(1))
  expect(await findBadPieces(pool, { ...onDisk, digest: other }, unpaced)).toEqual(
    Array.from({ length: 12 }, (_, i) => i)
  )
  await file.close()
})

it('finds a file that is missing or cut', async () => {
  for (const harm of [(path: string) => rm(path), (path: string) => truncate(path, 5)]) {
    const { store, path, corruptions } = await openWith()
    await contentsOf(store, DIGEST)
    await harm(path)
    expect(await store.blobs.verify(DIGEST, unpaced)).toMatchObject({ isLost: true, badPieces: [] })
    expect(corruptions).toHaveLength(1)
    expect(await store.blobs.verify(DIGEST, unpaced)).toBeUndefined()
  }
})

it('knows nothing of a blob that is not here', async () => {
  const { store } = await openWith()
  expect(await store.blobs.verify(digestOf(bytesOf(1)), unpaced)).toBeUndefined()
})

it('ends when the pace says so, and lets the blob be', async () => {
  const { store } = await openWith()
  const tired = new Error('enough')
  await expect(store.blobs.verify(DIGEST, () => Promise.reject(tired))).rejects.toBe(tired)
  expect(await store.blobs.stat(DIGEST)).toBeDefined()
  expect(await store.blobs.verify(DIGEST, unpaced)).toMatchObject({ badPieces: [] })
})

it('lists the blobs page by page', async () => {
  const { store } = await openWith()
  for (const length of [1, 2, 3, 4]) await store.blobs.put(digestOf(bytesOf(length)), bytesOf(length))
  const listed = async (page = {}) => {
    const digests: Digest[] = []
    for await (const { digest } of store.blobs.list(page)) digests.push(digest)
    return digests
  }
  const paged: Digest[] = []
  for (let page = await listed({ limit: 2 }); page.length > 0; page = await listed({ limit: 2, after: paged.at(-1) })) {
    paged.push(...page)
  }
  expect(paged).toEqual(await listed())
})
