import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Digest, digestOf, parseTag } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import type { ContentStore } from './interfaces.ts'
import { bytesOf, chunksOf, collect, whole } from './testing/bytes.ts'
import { type Line, REPOSITORY } from './testing/crash-victim.ts'
import { Random } from './testing/random.ts'
import { sourceOf } from './testing/sources.ts'
import { contentsOf, openStore, temporaryDirectory } from './testing/stores.ts'

const VICTIM = fileURLToPath(new URL('./testing/crash-victim.ts', import.meta.url))
const ROUNDS = 8
const MAX_LIFE_MS = 300
const SEED = Number(process.env.CRASH_SEED ?? Date.now() % 1_000_000)

interface Blob {
  readonly length: number
  readonly seed: number
}

/** All that was acknowledged and must be there. */
class Ledger {
  readonly kept = new Map<Digest, Blob & { linked: boolean }>()
  readonly downloads: Blob[] = []
  readonly uploads = new Map<string, Blob & { offset: number }>()
  readonly tags = new Map<string, number>()

  note(line: Line): void {
    if ('will' in line) {
      if (line.will === 'download') this.downloads.push(line)
      // From now on it may be there or not.
      if (line.will === 'delete') this.kept.delete(line.digest)
      if (line.will === 'commit') this.uploads.delete(line.id)
      return
    }
    if (line.did === 'keep') this.kept.set(digestOf(bytesOf(line.length, line.seed)), line)
    if (line.did === 'append') this.uploads.set(line.id, line)
    if (line.did === 'tag') this.tags.set(line.tag, line.sequence)
  }
}

/** When the victim dies: so long after it began or after it opened the store, or right after an acknowledgement. */
type Death =
  | { readonly after: 'start' | 'open'; readonly ms: number }
  | { readonly after: 'line'; readonly line: number }

function chooseDeath(round: number, random: Random): Death {
  if (round % 4 === 3) return { after: 'start', ms: random.below(MAX_LIFE_MS) }
  if (round % 2 === 0) return { after: 'open', ms: random.below(MAX_LIFE_MS) }
  return { after: 'line', line: 1 + random.below(80) }
}

async function runVictim(directory: string, seed: number, death: Death, ledger: Ledger): Promise<void> {
  const args = ['--conditions=layermesh-source', VICTIM, directory, String(seed)]
  const victim = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => void victim.kill('SIGKILL')
  onTestFinished(kill)
  if (death.after === 'start') setTimeout(kill, death.ms)
  let lines = 0
  for await (const text of createInterface(victim.stdout)) {
    const line = JSON.parse(text) as Line
    lines++
    if (death.after === 'line' && lines >= death.line) kill()
    if (death.after === 'open' && lines === 1) setTimeout(kill, death.ms)
    ledger.note(line)
  }
}

async function checkBlobs(store: ContentStore, directory: string, { kept }: Ledger): Promise<void> {
  const listed = new Set<Digest>()
  for await (const { digest } of store.blobs.list()) {
    listed.add(digest)
    const bytes = await contentsOf(store, digest)
    expect(bytes && digestOf(bytes)).toBe(digest)
  }
  for (const [digest, blob] of kept) {
    expect(listed, `bytesOf(${blob.length}, ${blob.seed})`).toContain(digest)
    if (blob.linked) expect(await store.repositories.hasBlob(REPOSITORY, digest)).toBe(true)
  }
  const files = await readdir(`${directory}/blobs`, { recursive: true })
  expect(files.filter((path) => path.split('/').length === 3)).toHaveLength(listed.size)
  expect(await readdir(`${directory}/temporary`)).toEqual([])
}

async function checkUploads(store: ContentStore, { uploads }: Ledger): Promise<void> {
  for (const [id, { length, seed, offset }] of uploads) {
    const upload = await store.uploads.get(REPOSITORY, id)
    expect(upload?.offset).toBeGreaterThanOrEqual(offset)
    const bytes = bytesOf(length, seed)
    await upload?.append(chunksOf(bytes.subarray(upload.offset)), { start: upload.offset })
    expect(await upload?.commit(digestOf(bytes))).toEqual({ digest: digestOf(bytes), size: length })
  }
  uploads.clear()
}

async function checkDownloads(store: ContentStore, { downloads }: Ledger): Promise<void> {
  for (const { length, seed } of downloads.splice(0)) {
    const bytes = bytesOf(length, seed)
    const digest = digestOf(bytes)
    const reader = await store.downloads.fetch(digest, sourceOf(bytes))
    expect(reader && Buffer.compare(await collect(reader.read(whole(reader))), bytes)).toBe(0)
    expect(await store.downloads.whole(digest)).toEqual({ digest, size: length })
  }
}

it(`loses nothing that was acknowledged when it is killed at any moment (CRASH_SEED=${SEED})`, async () => {
  const directory = await temporaryDirectory()
  const random = new Random(SEED)
  const ledger = new Ledger()
  for (let round = 0; round < ROUNDS; round++) {
    await runVictim(directory, random.below(1_000_000), chooseDeath(round, random), ledger)
    const store = await openStore({}, directory)
    await checkBlobs(store, directory, ledger)
    for (const [tag, sequence] of ledger.tags) {
      const entry = await store.tags.get(REPOSITORY, parseTag(tag))
      expect(entry?.sequence).toBeGreaterThanOrEqual(sequence)
    }
    await checkUploads(store, ledger)
    await checkDownloads(store, ledger)
    await store.close()
  }
  expect(ledger.kept.size).toBeGreaterThan(0)
})
