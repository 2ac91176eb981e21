import { type Digest, digestAlgorithm, digestOfHash, pieceLengthFor } from '@layermesh/oci'
import type { Files } from './disk/files.ts'
import { ALGORITHMS, type BlobArea, digestOfFile, type Layout } from './disk/layout.ts'
import type { PartialRows } from './downloads/partial-rows.ts'
import { hashFilePieces } from './hashing/file-pieces.ts'
import type { HashPool } from './hashing/hash-pool.ts'
import { RunningHash } from './hashing/running-hash.ts'
import type { Metadata } from './metadata/metadata.ts'
import type { Tables } from './metadata/tables.ts'
import type { Corruption } from './options.ts'

export interface RecoveryComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly rows: PartialRows
  readonly files: Files
  readonly layout: Layout
  readonly pool: HashPool
  readonly onCorrupt: (corruption: Corruption) => void
}

/**
 * Brings files and metadata together again after a crash, before anything is served:
 *
 * - temporary files go
 * - an unfinished download whose file lies among the blobs was about to become one, or had just been taken back: the
 *   file goes back, and its pieces are verified when the download goes on
 * - a blob's file without a row is one whose commit was cut off: it becomes a blob if it has that digest, else it goes;
 *   so a store that lost its metadata finds its blobs again
 * - a row without a file goes; somebody else removed the file, so this is told as a corruption
 * - an upload is cut to its durable offset; one that has fewer bytes than that goes
 *
 * That a blob's file has its length is checked when it is opened, and its bytes when they are read.
 */
export async function recover(components: RecoveryComponents): Promise<void> {
  const { files, layout } = components
  for (const name of await files.listFiles(layout.temporary)) await files.remove(layout.temporaryFile(name))
  const blobFiles = await listFiles(components, 'blobs')
  await recoverPartials(components, blobFiles)
  await recoverBlobs(components, blobFiles)
  await recoverUploads(components)
}

async function recoverPartials(components: RecoveryComponents, blobFiles: Set<Digest>): Promise<void> {
  const { metadata, tables, rows, files, layout } = components
  const partialFiles = await listFiles(components, 'partial')
  for await (const [digest, row] of rows.list()) {
    const isWhole = (await tables.blobs.get(digest)) !== undefined
    if (!isWhole && partialFiles.delete(digest)) continue
    if (isWhole || !blobFiles.delete(digest)) {
      await metadata.write(rows.removal(digest, row.size))
      continue
    }
    await files.makeDirectory(layout.blobDirectory('partial', digest))
    await files.move(layout.blobFile('blobs', digest), layout.blobFile('partial', digest))
  }
  for (const digest of partialFiles) await files.remove(layout.blobFile('partial', digest))
}

async function recoverBlobs(components: RecoveryComponents, blobFiles: Set<Digest>): Promise<void> {
  const { metadata, tables, files, layout, onCorrupt } = components
  for await (const [[name]] of tables.blobs.range([])) {
    const digest = name as Digest
    if (blobFiles.delete(digest)) continue
    await metadata.write([tables.blobs.del([digest]), tables.pieceHashes.del([digest])])
    onCorrupt({ digest, pieces: [] })
  }
  for (const digest of blobFiles) {
    if (!(await adoptBlob(components, digest))) await files.remove(layout.blobFile('blobs', digest))
  }
}

/** Makes a file among the blobs a blob if it has the digest of its name. */
async function adoptBlob(components: RecoveryComponents, digest: Digest): Promise<boolean> {
  const { metadata, tables, files, layout, pool } = components
  const file = await files.openForReading(layout.blobFile('blobs', digest))
  try {
    const size = await file.size()
    const algorithm = digestAlgorithm(digest)
    const hash = await new RunningHash(pool, algorithm).finish(file, size)
    if (digestOfHash(algorithm, hash) !== digest) return false
    const pieces = await hashFilePieces(pool, file, size, pieceLengthFor(size))
    await file.sync()
    await metadata.write([tables.blobs.put([digest], { size }), tables.pieceHashes.put([digest], pieces)])
    return true
  } finally {
    await file.close()
  }
}

async function recoverUploads({ metadata, tables, files, layout }: RecoveryComponents): Promise<void> {
  const unclaimed = new Set(await files.listFiles(layout.uploads))
  for await (const [[id = ''], { offset }] of tables.uploads.range([])) {
    if (!unclaimed.has(id) && offset === 0) continue
    if (unclaimed.has(id) && (await cutFile(files, layout.uploadFile(id), offset))) unclaimed.delete(id)
    else await metadata.write([tables.uploads.del([id])])
  }
  for (const id of unclaimed) await files.remove(layout.uploadFile(id))
}

/** Cuts a file to a length. False when it is too short. */
async function cutFile(files: Files, path: string, length: number): Promise<boolean> {
  const file = await files.openForWriting(path)
  try {
    const size = await file.size()
    if (size > length) await file.truncate(length)
    return size >= length
  } finally {
    await file.close()
  }
}

async function listFiles({ files, layout }: RecoveryComponents, area: BlobArea): Promise<Set<Digest>> {
  const digests = new Set<Digest>()
  for (const algorithm of ALGORITHMS) {
    for (const prefix of await files.list(layout.algorithmDirectory(area, algorithm))) {
      for (const name of await files.listFiles(layout.prefixDirectory(area, algorithm, prefix))) {
        const digest = digestOfFile(algorithm, prefix, name)
        if (digest !== undefined) digests.add(digest)
      }
    }
  }
  return digests
}
