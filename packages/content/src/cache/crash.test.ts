import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Digest, digestOf } from '@layermesh/oci'
import { expect, it, onTestFinished } from 'vitest'
import type { ContentStore } from '../interfaces.ts'
import { MIB } from '../testing/bytes.ts'
import { CACHE_OPTIONS, type CacheLine, PUSHED } from '../testing/cache-victim.ts'
import { Random } from '../testing/random.ts'
import { contentsOf, openStore, temporaryDirectory } from '../testing/stores.ts'

const VICTIM = fileURLToPath(new URL('../testing/cache-victim.ts', import.meta.url))
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 4)
const MAX_LINES = 20
const SEED = Number(process.env.CRASH_SEED ?? Date.now() % 1_000_000)

/** What was acknowledged, by manifest: the blob that it names. */
type Images = Map<Digest, Digest>

/** Runs a victim until it has written so many lines, and kills it then. */
async function runVictim(directory: string, seed: number, lines: number, images: Images): Promise<void> {
  const args = ['--conditions=layermesh-source', VICTIM, directory, String(seed)]
  const victim = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => void victim.kill('SIGKILL')
  onTestFinished(kill)
  let seen = 0
  for await (const text of createInterface(victim.stdout)) {
    const line = JSON.parse(text) as CacheLine
    if ('will' in line) images.delete(line.manifest)
    else if (line.did === 'push') images.set(line.manifest, line.blob)
    if (++seen === lines) kill()
  }
}

async function checkStore(store: ContentStore, directory: string, images: Images): Promise<void> {
  const listed = new Set<Digest>()
  let bytes = 0
  for await (const { digest, size } of store.blobs.list()) {
    listed.add(digest)
    bytes += size
    const content = await contentsOf(store, digest)
    expect(content && digestOf(content)).toBe(digest)
  }
  for (const [manifest, blob] of images) {
    for (const digest of [manifest, blob]) {
      expect(listed).toContain(digest)
      expect(await store.repositories.hasBlob(PUSHED, digest)).toBe(true)
    }
    expect(await store.repositories.manifest(PUSHED, manifest)).toBeDefined()
  }
  const files = await readdir(`${directory}/blobs`, { recursive: true })
  expect(files.filter((path) => path.split('/').length === 3)).toHaveLength(listed.size)
  expect(store.blobs.count()).toBe(listed.size)
  expect(store.blobs.usedBytes()).toBeGreaterThanOrEqual(bytes)
  expect(store.blobs.usedBytes()).toBeLessThanOrEqual(CACHE_OPTIONS.maxSize.bytes + MIB)
}

it(`loses nothing that was pushed when it is killed while it makes room and collects garbage (CRASH_SEED=${SEED})`, async () => {
  const directory = await temporaryDirectory()
  const random = new Random(SEED)
  const images: Images = new Map()
  for (let round = 0; round < ROUNDS; round++) {
    await runVictim(directory, random.below(1_000_000), 2 + random.below(MAX_LINES), images)
    const store = await openStore({ minFree: { bytes: 0 } }, directory)
    await checkStore(store, directory, images)
    await store.close()
  }
  expect(images.size).toBeGreaterThan(0)
})
