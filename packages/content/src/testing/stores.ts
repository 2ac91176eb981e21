import { mkdtemp, open, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex } from '@layermesh/oci'
import { onTestFinished } from 'vitest'
import { openContentStore } from '../content-store.ts'
import type { ContentStore } from '../interfaces.ts'
import type { ContentStoreOptions } from '../options.ts'
import { collect, whole } from './bytes.ts'

/** How long to look for what must come soon, on a machine that is busy with other things. */
export const PATIENT = { timeout: 90_000 } as const

/** A directory that goes when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-content-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** A store that is closed when the test ends; in `directory`, or in one of its own. */
export async function openStore(options: Partial<ContentStoreOptions> = {}, directory?: string): Promise<ContentStore> {
  const place = directory ?? (await temporaryDirectory())
  const store = await openContentStore(place, options)
  onTestFinished(() => store.close())
  return store
}

/** All bytes of a blob, or undefined when it is not here. */
export async function contentsOf(store: ContentStore, digest: Digest): Promise<Uint8Array | undefined> {
  const reader = await store.blobs.open(digest)
  return reader && collect(reader.read(whole(reader)))
}

/** Where the file of a blob lies, for tests that do harm to it. */
export function blobPath(directory: string, digest: Digest, area: 'blobs' | 'partial' = 'blobs'): string {
  const hex = digestHex(digest)
  return join(directory, area, digestAlgorithm(digest), hex.slice(0, 2), hex)
}

/** Changes one bit of a file. */
export async function flipBit(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const byte = new Uint8Array(1)
    await file.read(byte, 0, 1, position)
    await file.write(new Uint8Array([(byte[0] ?? 0) ^ 0x10]), 0, 1, position)
  } finally {
    await file.close()
  }
}

/** The files below `directory` that this process has open. */
export async function openFilesBelow(directory: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd')
  const paths = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return paths.filter((path) => path.startsWith(`${directory}/`))
}

/** How many hashing threads this process has. */
export async function hashThreads(): Promise<number> {
  const threads = await readdir('/proc/self/task')
  const names = await Promise.all(threads.map((id) => readFile(`/proc/self/task/${id}/comm`, 'utf8').catch(() => '')))
  return names.filter((name) => name.trim() === 'layermesh-hash').length
}
