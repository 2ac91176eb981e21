import { webcrypto } from 'node:crypto'
import {
  type ByteRange,
  type Digest,
  digestAlgorithm,
  digestOfHash,
  OciError,
  pieceCount,
  pieceLengthFor,
  pieceRange
} from '@layermesh/oci'
import type { Guards } from '../cache/guards.ts'
import { heldReader } from '../cache/held-reader.ts'
import type { Files } from '../disk/files.ts'
import type { FreeSpace } from '../disk/free-space.ts'
import type { Layout } from '../disk/layout.ts'
import type { RunningDownloads } from '../downloads/downloads.ts'
import type { PartialStore } from '../downloads/partial-store.ts'
import { PieceChecks } from '../hashing/piece-checks.ts'
import { readWhole } from '../hashing/verified-pieces.ts'
import type { BlobReader, BlobStat, BlobStore, BlobVerdict, OpenOptions, PieceHashes } from '../interfaces.ts'
import type { BlobCatalog } from './blob-catalog.ts'
import { openWholeReader } from './whole-reader.ts'

export interface BlobsComponents {
  readonly catalog: BlobCatalog
  readonly partials: PartialStore
  readonly downloads: RunningDownloads
  readonly files: Files
  readonly layout: Layout
  readonly space: Pick<FreeSpace, 'reserve'>
  readonly guards: Guards
}

const SUBTLE_NAME = { sha256: 'SHA-256', sha512: 'SHA-512' } as const

/** What is here, whole or in flight, as the rest of the program sees it. */
export class Blobs implements BlobStore {
  readonly #components: BlobsComponents

  constructor(components: BlobsComponents) {
    this.#components = components
  }

  stat(digest: Digest): Promise<BlobStat | undefined> {
    return this.#components.catalog.stat(digest)
  }

  async open(digest: Digest, { use = true }: OpenOptions = {}): Promise<BlobReader | undefined> {
    const { catalog, downloads, guards } = this.#components
    const removal = use ? guards.renew(digest) : undefined
    if (removal !== undefined) await removal
    const inFlight = downloads.get(digest)
    const reader = (await openWholeReader(catalog, digest)) ?? inFlight?.reader() ?? downloads.get(digest)?.reader()
    return reader && heldReader(reader, guards)
  }

  async readAt(digest: Digest, range: ByteRange, spare?: ArrayBuffer): Promise<Uint8Array | undefined> {
    const { catalog, downloads, guards } = this.#components
    const blob = await catalog.acquire(digest)
    if (blob === undefined) return downloads.get(digest)?.readAt(range, spare)
    guards.touch(digest)
    try {
      return await readWhole(blob, range, spare)
    } finally {
      blob.release()
    }
  }

  async pieceHashes(digest: Digest): Promise<PieceHashes | undefined> {
    const blob = await this.#components.catalog.acquire(digest)
    if (blob === undefined) return undefined
    const { pieceLength, checks } = blob
    blob.release()
    return { pieceLength, hashes: new Uint8Array(checks.hashes) }
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const { catalog, files, layout, space, guards } = this.#components
    const algorithm = digestAlgorithm(digest)
    if (digestOfHash(algorithm, await hashOf(algorithm, bytes)) !== digest) {
      throw new OciError('DIGEST_INVALID', 'the bytes have another digest', { detail: { digest } })
    }
    await guards.renew(digest)
    if ((await catalog.stat(digest)) !== undefined) return
    const release = await space.reserve(bytes.byteLength)
    const path = layout.newTemporaryFile()
    try {
      const file = await files.create(path)
      await file
        .write(bytes, 0)
        .then(() => file.sync())
        .finally(() => file.close())
      const checks = new PieceChecks(await hashPieces(bytes))
      await catalog.commit({ digest, size: bytes.byteLength, path, checks, changes: [], onCounted: release })
    } catch (error) {
      await files.remove(path).catch(() => {})
      throw error
    } finally {
      release()
    }
  }

  delete(digest: Digest): Promise<boolean> {
    return this.#components.catalog.delete(digest)
  }

  async verify(digest: Digest, pace: (bytes: number) => Promise<void>): Promise<BlobVerdict | undefined> {
    const { catalog } = this.#components
    const here = await catalog.stat(digest)
    if (here === undefined) return undefined
    if (await catalog.takeBackLost(digest)) return { ...here, isLost: true, badPieces: [] }
    const blob = await catalog.acquire(digest)
    if (blob === undefined) return undefined
    const badPieces = await blob.findBadPieces(pace).finally(() => blob.release())
    if (badPieces.length > 0) await catalog.demote(digest, badPieces)
    return { ...here, isLost: false, badPieces }
  }

  list(page?: { readonly after?: Digest; readonly limit?: number }): AsyncIterable<BlobStat> {
    return this.#components.catalog.list(page)
  }

  count(): number {
    return this.#components.catalog.count
  }

  /** A partial blob counts with the pieces that are here: the rest of its sparse file takes no space. */
  usedBytes(): number {
    return this.#components.catalog.bytes + this.#components.partials.bytes
  }
}

async function hashPieces(bytes: Uint8Array): Promise<Uint8Array> {
  const pieceLength = pieceLengthFor(bytes.byteLength)
  const hashes: Uint8Array[] = []
  for (let piece = 0; piece < pieceCount(bytes.byteLength, pieceLength); piece++) {
    const { start, end } = pieceRange(piece, bytes.byteLength, pieceLength)
    hashes.push(await hashOf('sha256', bytes.subarray(start, end)))
  }
  return Buffer.concat(hashes)
}

async function hashOf(algorithm: keyof typeof SUBTLE_NAME, bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await webcrypto.subtle.digest(SUBTLE_NAME[algorithm], bytes as Uint8Array<ArrayBuffer>))
}
