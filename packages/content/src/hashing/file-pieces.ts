import type { StoredFile } from '../disk/files.ts'
import { type HashPool, MAX_JOB_BYTES } from './hash-pool.ts'

/**
 * The SHA-256 of each piece of the first `size` bytes of a file. It goes in steps, so that neither other readers nor
 * who closes the file wait long for it.
 */
export async function hashFilePieces(
  pool: HashPool,
  file: StoredFile,
  size: number,
  pieceLength: number
): Promise<Uint8Array> {
  const step = pieceLength * Math.max(1, Math.floor(MAX_JOB_BYTES / pieceLength))
  const hashes: Uint8Array[] = []
  for (let start = 0; start < size; start += step) {
    const end = Math.min(start + step, size)
    hashes.push(await file.use((fd) => pool.hashPieces(fd, start, end, pieceLength)))
  }
  return Buffer.concat(hashes)
}
