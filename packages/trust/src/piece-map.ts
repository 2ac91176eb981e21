import { createHash } from 'node:crypto'
import {
  type Digest,
  digestAlgorithm,
  digestBytes,
  isDigest,
  pieceCount,
  pieceLengthFor,
  pieceRange
} from '@layermesh/oci'
import type { PrivateKey } from '@libp2p/interface'
import { bytesField, malformed, numberField, textField } from './payload.ts'
import { openRecord, type RecordForm, sealRecord } from './signed-record.ts'

/** The pieces of a blob and the SHA-256 of each, vouched for by a signature. */
export interface PieceMap {
  readonly digest: Digest
  /** Length of the blob, in bytes. */
  readonly length: number
  /** Length of every piece but the last, in bytes; always what `pieceLengthFor(length)` says. */
  readonly pieceLength: number
  /** 32 bytes for each piece, one after the other. */
  readonly hashes: Uint8Array
}

/** A map whose signature holds, and the peer id that signed it. */
export interface OpenedPieceMap {
  readonly map: PieceMap
  readonly signer: string
}

const HASH_LENGTH = 32

/** The longest envelope of a piece map, in bytes: 4096 hashes, and room for the rest. */
export const MAX_PIECE_MAP_BYTES = 4096 * HASH_LENGTH + 1024

const FORM: RecordForm<PieceMap> = {
  domain: 'layermesh-piece-map',
  payloadType: '/layermesh/piece-map/1',
  maxEnvelopeBytes: MAX_PIECE_MAP_BYTES,
  fields: ({ digest, length, pieceLength, hashes }) => ({ digest, length, pieceLength, hashes }),
  read: (fields) => ({
    digest: textField(fields, 'digest') as Digest,
    length: numberField(fields, 'length'),
    pieceLength: numberField(fields, 'pieceLength'),
    hashes: bytesField(fields, 'hashes')
  }),
  check: checkPieceMap
}

/** Signs a map. @throws {TrustError} RECORD_MALFORMED when {@link openPieceMap} would refuse it */
export function sealPieceMap(map: PieceMap, privateKey: PrivateKey): Promise<Uint8Array> {
  return sealRecord(FORM, map, privateKey)
}

/**
 * Reads a map and checks its form and signature; not whether its signer is one to believe.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID
 */
export async function openPieceMap(envelope: Uint8Array): Promise<OpenedPieceMap> {
  const { record: map, signer } = await openRecord(FORM, envelope)
  return { map, signer }
}

/** The SHA-256 that the piece `index` must have; undefined when the blob has no such piece. */
export function pieceHash(map: PieceMap, index: number): Uint8Array | undefined {
  if (!Number.isSafeInteger(index) || index < 0 || index >= pieceCount(map.length, map.pieceLength)) return undefined
  return map.hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
}

/**
 * Tells whether `bytes` are the piece `index`: exactly as long, with the right hash. It hashes here and now, about 1 ms
 * for each MiB; who has many pieces compares a hash made elsewhere with {@link pieceHash}.
 */
export function verifyPiece(map: PieceMap, index: number, bytes: Uint8Array): boolean {
  const expected = pieceHash(map, index)
  if (expected === undefined) return false
  const { start, end } = pieceRange(index, map.length, map.pieceLength)
  return bytes.byteLength === end - start && Buffer.compare(sha256(bytes), expected) === 0
}

function checkPieceMap(map: PieceMap): void {
  const { digest, length, pieceLength, hashes } = map
  if (!isDigest(digest)) throw malformed('digest must be a sha256 or sha512 digest')
  if (!Number.isSafeInteger(length) || length < 0) throw malformed('length must be a number of bytes')
  if (pieceLength !== pieceLengthFor(length)) throw malformed('pieceLength must be the one for this length')
  if (hashes.byteLength !== pieceCount(length, pieceLength) * HASH_LENGTH) {
    throw malformed('hashes must have 32 bytes for each piece')
  }
  checkAgainstDigest(digest, hashes)
}

/** A blob of a single piece, or of none, has a digest that tells already what the map must say. */
function checkAgainstDigest(digest: Digest, hashes: Uint8Array): void {
  if (digestAlgorithm(digest) !== 'sha256' || hashes.byteLength > HASH_LENGTH) return
  const whole = hashes.byteLength === 0 ? sha256(new Uint8Array()) : hashes
  if (Buffer.compare(whole, digestBytes(digest)) !== 0) throw malformed('the hash of the only piece must be the digest')
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}
