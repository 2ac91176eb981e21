import { OciError } from './errors.ts'

/** Bytes `start` up to, but not including, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** What a `Range` header asks of content of a known size. */
export type RequestedRange =
  | { readonly kind: 'full' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  | { readonly kind: 'unsatisfiable' }

const FULL: RequestedRange = { kind: 'full' }
const UNSATISFIABLE: RequestedRange = { kind: 'unsatisfiable' }
const SINGLE_RANGE = /^bytes=[ \t]*(?:(\d+)-(\d*)|-(\d+))[ \t]*$/i
const UPLOAD_RANGE = /^(?:bytes )?(\d+)-(\d+)(?:\/(?:\d+|\*))?$/

/**
 * Reads a `Range` header (RFC 9110 §14). A header that is malformed, of another unit or asks for several ranges is
 * passed over, as §14.2 allows: the answer is the whole. A range that ends before it starts is rejected, which §14.2
 * allows too and the conformance suite looks for. An end beyond `size` is cut to it.
 */
export function parseRangeHeader(header: string | undefined, size: number): RequestedRange {
  const [, first, last, suffix] = SINGLE_RANGE.exec(header ?? '') ?? []
  if (suffix !== undefined) return suffixRange(Number(suffix), size)
  if (first === undefined) return FULL
  const start = Number(first)
  const end = last ? Number(last) + 1 : size
  if (start >= size || end <= start) return UNSATISFIABLE
  return { kind: 'part', range: { start, end: Math.min(end, size) } }
}

/** The last `length` bytes. Of empty content that is the whole of it, which no `Content-Range` could describe. */
function suffixRange(length: number, size: number): RequestedRange {
  if (length === 0) return UNSATISFIABLE
  if (size === 0) return FULL
  return { kind: 'part', range: { start: Math.max(0, size - length), end: size } }
}

/**
 * Reads the `Content-Range` of an upload's chunk, `first-last` without unit or total (distribution-spec §Pushing a blob
 * in chunks); also the `bytes first-last/total` of RFC 9110, which some clients send.
 * @throws {OciError} RANGE_INVALID
 */
export function parseUploadRange(contentRange: string): ByteRange {
  const [, first, last] = UPLOAD_RANGE.exec(contentRange) ?? []
  const start = Number(first)
  const end = Number(last) + 1
  if (Number.isSafeInteger(end) && start < end) return { start, end }
  throw new OciError('RANGE_INVALID', 'a chunk tells its Content-Range as FIRST-LAST, both in bytes and inclusive', {
    detail: { contentRange: contentRange.slice(0, 200) }
  })
}
