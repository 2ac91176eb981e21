import type { BlobReader } from '@layermesh/content'
import { type ByteRange, type Digest, type ErrorCode, OciError } from '@layermesh/oci'
import type { OpenBlob } from '@layermesh/registry'

/** Opens the blob again after a failure; undefined when it can't be had any more. */
export type Reopen = (signal: AbortSignal, failure: unknown) => Promise<BlobReader | undefined>

const MAX_REOPENS = 3
const RESUMABLE = new Set(['BLOB_CORRUPT', 'BLOB_GONE', 'DOWNLOAD_FAILED'])

/**
 * A blob whose reader may fail in the middle, by a bad disk, by sources that ran dry, or since it made room for others: it
 * is opened again, and the
 * client gets the rest from where it was, without noticing.
 */
export class ResumingBlob implements OpenBlob {
  readonly digest: Digest
  readonly size: number
  readonly #reopen: Reopen
  readonly #lost: ErrorCode
  #reader: BlobReader

  /** @param lost what a client is told that has had nothing yet when the blob can't be had any more */
  constructor(reader: BlobReader, reopen: Reopen, lost: ErrorCode = 'UNAVAILABLE') {
    this.#lost = lost
    this.digest = reader.digest
    this.size = reader.size
    this.#reader = reader
    this.#reopen = reopen
  }

  async *read(range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    let position = range.start
    let reopens = 0
    while (position < range.end) {
      try {
        for await (const chunk of this.#reader.read({ start: position, end: range.end }, signal, {
          reuseMemory: true
        })) {
          position += chunk.byteLength
          reopens = 0
          yield chunk
        }
        return
      } catch (error) {
        if (signal.aborted || !isResumable(error) || ++reopens > MAX_REOPENS) throw error
        const reader = await this.#reopen(signal, error)
        if (reader?.size !== this.size)
          throw new OciError(this.#lost, 'the rest of the blob can not be had', { cause: error })
        this.#reader = reader
      }
    }
  }
}

function isResumable(error: unknown): boolean {
  return error instanceof Error && RESUMABLE.has((error as Error & { code?: string }).code ?? '')
}

/** All bytes of a small blob. @throws {OciError} SIZE_INVALID when it is larger than `maxBytes` */
export async function readWhole(
  reader: Pick<BlobReader, 'size' | 'read'>,
  maxBytes: number,
  signal: AbortSignal
): Promise<Uint8Array> {
  if (reader.size > maxBytes) throw new OciError('SIZE_INVALID', `${reader.size} bytes where ${maxBytes} are the most`)
  const whole = Buffer.allocUnsafe(reader.size)
  let position = 0
  for await (const chunk of reader.read({ start: 0, end: reader.size }, signal)) {
    whole.set(chunk, position)
    position += chunk.byteLength
  }
  return whole
}
