import { mkdtemp, open as openFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openContentStore } from '@layermesh/content'
import {
  type Digest,
  digestAlgorithm,
  digestHex,
  digestOf,
  ownRepository,
  pieceCount,
  pieceRange
} from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import { type BadBlob, Verifier, type VerifyCount } from './verifier.ts'

const repository = ownRepository('team/app')
const MIB = 1024 * 1024
const FAST = 1024 ** 4
const signal = AbortSignal.timeout(60_000)

const bytesOf = (seed: number, length: number) => Buffer.alloc(length, Buffer.from([seed, 1, 2, 3, 5]))

/** A store of three blobs, and a mesh that has the given ones. */
async function open(inMesh: readonly number[] = []) {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-verify-'))
  const content = await openContentStore(directory)
  const blobs = new Map<Digest, Buffer>()
  for (const seed of [1, 2, 3]) {
    const bytes = bytesOf(seed, 2 * MIB + seed)
    const digest = digestOf(bytes)
    blobs.set(digest, bytes)
    await content.blobs.put(digest, bytes)
    await content.repositories.linkBlobs(repository, [digest])
  }
  const digests = [...blobs.keys()]
  const has = new Set(inMesh.map((index) => digests[index]))
  const asked: unknown[] = []
  const counted: string[] = []
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const verifier = new Verifier(
    {
      content,
      log,
      metrics: { verified: () => {}, badBlob: (result) => void counted.push(result) },
      bring: async ({ digest }) => {
        asked.push(digest)
        const bytes = has.has(digest) ? blobs.get(digest) : undefined
        return await content.downloads.fetch(digest, async (_digest, begin) => {
          if (bytes === undefined) return false
          const size = bytes.byteLength
          const partial = await begin({ size, cutThrough: false })
          await sleep(100)
          for (let piece = 0; piece < pieceCount(size); piece++) {
            const { start, end } = pieceRange(piece, size)
            if (!partial.has(piece)) await partial.write(piece, bytes.subarray(start, end))
          }
          return true
        })
      }
    },
    { everyMs: 0, bytesPerSecond: FAST }
  )
  onTestFinished(async () => {
    await verifier.stop()
    await content.close()
    await rm(directory, { recursive: true, force: true })
  })
  const counts: VerifyCount[] = []
  const bad: BadBlob[] = []
  const run = (options = {}, until = signal) =>
    verifier.run(
      options,
      (progress) => void ('bad' in progress ? bad.push(progress.bad) : counts.push(progress.count)),
      until
    )
  const flip = async (index: number, position: number) => {
    const digest = digests[index] as Digest
    const hex = digestHex(digest)
    const file = await openFile(join(directory, 'blobs', digestAlgorithm(digest), hex.slice(0, 2), hex), 'r+')
    await file.write(new Uint8Array([0xff]), 0, 1, position)
    await file.close()
    return digest
  }
  return { content, verifier, digests, run, flip, counts, bad, asked, counted }
}

it('reads all that is here, and tells how far it is', async () => {
  const { run, counts, asked } = await open()
  expect(await run()).toEqual({ blobs: 3, bytes: 6 * MIB + 6, repaired: 0, lost: 0 })
  expect(counts[0]).toMatchObject({ blobs: 0, ofBlobs: 3, ofBytes: 6 * MIB + 6 })
  expect(counts.at(-1)).toEqual({ blobs: 3, ofBlobs: 3, bytes: 6 * MIB + 6, ofBytes: 6 * MIB + 6 })
  expect(asked).toEqual([])
})

it('has what is bad fetched anew, and says of the rest that nobody has it', async () => {
  const { content, run, flip, bad, asked, counted } = await open([0])
  const [repaired, lost] = [await flip(0, 5), await flip(1, 2 * MIB)]
  expect(await run()).toMatchObject({ blobs: 3, repaired: 1, lost: 1 })
  expect(asked).toHaveLength(2)
  expect(asked).toContain(repaired)
  const last = new Map(bad.map((each) => [each.digest, each]))
  expect(last.get(repaired)).toEqual({
    digest: repaired,
    size: 2 * MIB + 1,
    repository,
    badPieces: 1,
    state: 'repaired'
  })
  expect(last.get(lost)).toMatchObject({ badPieces: 1, state: 'lost', reason: 'nobody has it' })
  expect(await content.blobs.stat(repaired)).toBeDefined()
  expect(await content.blobs.stat(lost)).toBeUndefined()
  expect(counted.toSorted()).toEqual(['lost', 'repaired'])
  expect(await run()).toEqual({ blobs: 2, bytes: 4 * MIB + 4, repaired: 0, lost: 0 })
})

it('reads no faster than it should', async () => {
  const { run } = await open()
  const begunAt = performance.now()
  await run({ bytesPerSecond: 8 * MIB })
  expect(performance.now() - begunAt).toBeGreaterThanOrEqual(740)
})

it('ends when it is to, runs once at a time, and can be run again', async () => {
  const { run } = await open()
  const left = new AbortController()
  const slow = run({ bytesPerSecond: 1 }, left.signal)
  await expect(run()).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
  left.abort(new Error('left'))
  await expect(slow).rejects.toThrow('left')
  expect(await run()).toMatchObject({ blobs: 3 })
})

it('is ended with the node', async () => {
  const { run, verifier } = await open()
  const slow = run({ bytesPerSecond: 1 })
  slow.catch(() => {})
  await verifier.stop()
  await expect(slow).rejects.toThrow()
})
