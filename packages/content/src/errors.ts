/**
 * Why the store could not do what was asked:
 *
 * - `BLOB_CORRUPT`: the disk holds other bytes than were stored; none of them was handed out
 * - `BLOB_GONE`: the blob was deleted, or found corrupt by another reader, after this reader was opened
 * - `BLOB_TOO_LARGE`: a download is longer than {@link ContentStoreOptions.maxBlobBytes}
 * - `BUSY`: too many downloads wait for their turn, or garbage is being collected already
 * - `DIGEST_MISMATCH`: all pieces came, and their whole has another digest
 * - `DISK_FULL`: no space within {@link ContentStoreOptions.minFree} and {@link ContentStoreOptions.maxSize}, and nothing can be spared
 * - `DOWNLOAD_FAILED`: a download ended without the blob; `cause` tells why
 * - `DOWNLOAD_INCOMPLETE`: a source said that it was done before every piece was here
 * - `PIECE_LENGTH`: a piece with other than its length, or one that the blob does not have
 * - `PIECE_MISMATCH`: bytes that do not have the hash that somebody vouched for
 * - `STORE_CLOSED`: the store was closed
 * - `STORE_FORMAT`: the directory holds a store of another format
 * - `STORE_IN_USE`: another process has the directory open
 */
export type ContentErrorCode =
  | 'BLOB_CORRUPT'
  | 'BLOB_GONE'
  | 'BLOB_TOO_LARGE'
  | 'BUSY'
  | 'DIGEST_MISMATCH'
  | 'DISK_FULL'
  | 'DOWNLOAD_FAILED'
  | 'DOWNLOAD_INCOMPLETE'
  | 'PIECE_LENGTH'
  | 'PIECE_MISMATCH'
  | 'STORE_CLOSED'
  | 'STORE_FORMAT'
  | 'STORE_IN_USE'

/** A failure of the content store. */
export class ContentError extends Error {
  override readonly name = 'ContentError'
  readonly code: ContentErrorCode

  constructor(code: ContentErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}

/** Tells whether `error` is a {@link ContentError}, optionally of one code, also when it came from another copy of this module. */
export function isContentError(error: unknown, code?: ContentErrorCode): error is ContentError {
  if (!(error instanceof Error) || error.name !== 'ContentError') return false
  return code === undefined || (error as ContentError).code === code
}

/** The `code` that Node and LevelDB put on their errors. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** The same error, or DISK_FULL when that is what the operating system or LevelDB meant by it. */
export function mapDiskFull(error: unknown): unknown {
  const code = errorCode(error)
  const full =
    code === 'ENOSPC' ||
    code === 'EDQUOT' ||
    (code === 'LEVEL_IO_ERROR' && /no space left|quota exceeded/i.test((error as Error).message))
  return full ? new ContentError('DISK_FULL', 'the disk is full', { cause: error }) : error
}
