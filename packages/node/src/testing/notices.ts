import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NoticeEntry, Notices } from '@layermesh/content'
import { loadOrCreateKey, type PrivateKey, peerIdOf } from '@layermesh/trust'

/** A node's key. */
export async function makeIdentity(): Promise<{ privateKey: PrivateKey; peerId: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-key-'))
  try {
    const privateKey = await loadOrCreateKey(directory)
    return { privateKey, peerId: peerIdOf(privateKey) }
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** The store's notices in memory. */
export class MemoryNotices implements Notices {
  readonly #entries = new Map<string, NoticeEntry>()

  get size(): number {
    return this.#entries.size
  }

  async get(kind: string, signer: string): Promise<NoticeEntry | undefined> {
    return this.#entries.get(`${kind} ${signer}`)
  }

  async put(entry: NoticeEntry): Promise<'stored' | 'known'> {
    const key = `${entry.kind} ${entry.signer}`
    if ((this.#entries.get(key)?.sequence ?? 0) >= entry.sequence) return 'known'
    this.#entries.set(key, entry)
    return 'stored'
  }

  async *all(): AsyncGenerator<NoticeEntry> {
    yield* this.#entries.values()
  }
}
