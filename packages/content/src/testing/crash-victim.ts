/**
 * A process that is killed in the middle of its work. It uses the store in argv[2], as the seed in argv[3] has it, and
 * writes a line for everything that the store acknowledged, at once: the line is out even if the process dies next.
 */
import { writeSync } from 'node:fs'
import { type Digest, digestOf, ownRepository, parseTag } from '@layermesh/oci'
import { openContentStore } from '../content-store.ts'
import type { BlobSource, ContentStore } from '../interfaces.ts'
import { bytesOf, chunksOf, MIB } from './bytes.ts'
import { Random } from './random.ts'
import { sourceOf } from './sources.ts'

/** What the store acknowledged, or is about to be asked (`will`). A blob is `bytesOf(length, seed)`. */
export type Line =
  | { readonly did: 'open' }
  | { readonly will: 'download'; readonly length: number; readonly seed: number }
  | { readonly will: 'delete'; readonly digest: Digest }
  | { readonly will: 'commit'; readonly id: string }
  | { readonly did: 'keep'; readonly length: number; readonly seed: number; readonly linked: boolean }
  | {
      readonly did: 'append'
      readonly id: string
      readonly length: number
      readonly seed: number
      readonly offset: number
    }
  | { readonly did: 'tag'; readonly tag: string; readonly sequence: number }

export const REPOSITORY = ownRepository('crash/test')
const TAGS = ['a', 'b', 'c'].map(parseTag)

function tell(line: Line): void {
  writeSync(1, `${JSON.stringify(line)}\n`)
}

const kept = new Set<Digest>()

function tellKept(bytes: Uint8Array, seed: number, linked: boolean): void {
  tell({ did: 'keep', length: bytes.byteLength, seed, linked })
  kept.add(digestOf(bytes))
}

async function put(store: ContentStore, length: number, seed: number): Promise<void> {
  const bytes = bytesOf(length, seed)
  await store.blobs.put(digestOf(bytes), bytes)
  tellKept(bytes, seed, false)
}

async function push(store: ContentStore, length: number, seed: number, random: Random): Promise<void> {
  const bytes = bytesOf(length, seed)
  const { id } = await store.uploads.create(REPOSITORY)
  tell({ did: 'append', id, length, seed, offset: 0 })
  const upload = await store.uploads.get(REPOSITORY, id)
  for (let at = 0; at < length; ) {
    const end = Math.min(length, at + 1 + random.below(2 * MIB))
    at = (await upload?.append(chunksOf(bytes.subarray(at, end)), { start: at, length: end - at })) ?? length
    tell({ did: 'append', id, length, seed, offset: at })
  }
  tell({ will: 'commit', id })
  await upload?.commit(digestOf(bytes))
  tellKept(bytes, seed, true)
}

async function download(store: ContentStore, length: number, seed: number, random: Random): Promise<void> {
  const bytes = bytesOf(length, seed)
  const digest = digestOf(bytes)
  const whole = sourceOf(bytes)
  const source: BlobSource = async (wanted, begin, signal) => {
    if (random.below(4) > 0) return whole(wanted, begin, signal)
    await sourceOf(bytes, { pieces: [0, 2] })(wanted, begin, signal)
    throw new Error('gave up')
  }
  tell({ will: 'download', length, seed })
  await store.downloads.fetch(digest, source)
  try {
    await store.downloads.whole(digest)
  } catch {
    return
  }
  tellKept(bytes, seed, false)
}

/** Deletes a blob that it told of: another could be told of as kept after it was deleted. */
async function remove(store: ContentStore): Promise<void> {
  const [digest] = kept
  if (digest === undefined) return
  kept.delete(digest)
  tell({ will: 'delete', digest })
  await store.blobs.delete(digest)
}

async function tag(store: ContentStore, random: Random): Promise<void> {
  const name = TAGS[random.below(TAGS.length)] ?? parseTag('a')
  const here = await store.tags.get(REPOSITORY, name)
  const sequence = (here?.sequence ?? 0) + 1
  await store.tags.put(REPOSITORY, name, { sequence, envelope: bytesOf(50, sequence), confirmedAt: sequence })
  tell({ did: 'tag', tag: name, sequence })
}

async function work(store: ContentStore, random: Random): Promise<never> {
  for (;;) {
    const length = random.below(5 * MIB)
    const seed = random.below(1_000_000)
    const kind = random.below(10)
    if (kind < 3) await put(store, Math.ceil(length / 8), seed)
    else if (kind < 6) await push(store, length, seed, random)
    else if (kind < 8) await download(store, length, seed, random)
    else if (kind < 9) await tag(store, random)
    else await remove(store)
  }
}

if (import.meta.main) {
  const [, , directory = '', seed = '0'] = process.argv
  const store = await openContentStore(directory, { flushBytes: MIB, flushMs: 5, minFree: { bytes: 0 } })
  tell({ did: 'open' })
  const random = new Random(Number(seed))
  await Promise.all([work(store, random), work(store, random), work(store, random)])
}
