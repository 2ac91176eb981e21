import { open } from 'node:fs/promises'
import type { NoticeOutcome } from '@layermesh/mesh'
import { isTrustError, MAX_SEED_SET_BYTES, parseSeedSet } from '@layermesh/trust'
import { ConfigError } from '../config/errors.ts'
import { SEED_SET_KIND } from './seed-sets.ts'

/**
 * Begins with the set of a file, unless a newer one is here.
 * @throws {ConfigError} INVALID_VALUE when it can't be read or is no set of the configured root
 */
export async function offerSeedSetFile(
  path: string,
  board: { offer(kind: string, envelope: Uint8Array, from: string): Promise<NoticeOutcome> }
): Promise<void> {
  const outcome = await board.offer(SEED_SET_KIND, await readSeedSetFile(path), 'file')
  if (outcome === 'new' || outcome === 'known') return
  throw unusable(path, 'it is no seed set that the key seedSet.root signed; see `layermesh seeds show FILE`')
}

async function readSeedSetFile(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r')
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(2 * MAX_SEED_SET_BYTES) })
    return parseSeedSet(buffer.toString('latin1', 0, bytesRead))
  } catch (error) {
    if (isTrustError(error)) throw unusable(path, error.message, error)
    throw unusable(path, `it can not be read (${(error as NodeJS.ErrnoException).code})`, error)
  }
}

function unusable(path: string, why: string, cause?: unknown): ConfigError {
  return new ConfigError('INVALID_VALUE', `seedSet.file: ${path}: ${why}`, cause === undefined ? {} : { cause })
}
