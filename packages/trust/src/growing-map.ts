import { createHash } from 'node:crypto'
import { type Digest, isDigest, pieceCount, pieceLengthFor } from '@layermesh/oci'
import type { PrivateKey } from '@libp2p/interface'
import { bytesField, malformed, numberField, textField } from './payload.ts'
import { openRecord, type RecordForm, sealRecord } from './signed-record.ts'

/**
 * The first pieces of a blob that comes into the mesh at this moment, vouched for by a signature. It names their hashes
 * by one hash over all of them, so that who knows those of some pieces needs only those of the next.
 */
export interface GrowingMap {
  readonly digest: Digest
  /** Length of the blob, in bytes; more than one piece. */
  readonly length: number
  /** Length of every piece but the last, in bytes; always what `pieceLengthFor(length)` says. */
  readonly pieceLength: number
  /** How many pieces it speaks of: those before this one. */
  readonly count: number
  /** See {@link rootOfHashes}. */
  readonly root: Uint8Array
  /** The first piece that the signer brought in itself; what the others are it knows from another. */
  readonly since: number
}

/** A growing map whose signature holds, and the peer id that signed it. */
export interface OpenedGrowingMap {
  readonly map: GrowingMap
  readonly signer: string
}

const HASH_LENGTH = 32

/** The longest envelope of a growing map, in bytes. */
export const MAX_GROWING_MAP_BYTES = 1_024

const FORM: RecordForm<GrowingMap> = {
  domain: 'layermesh-growing-map',
  payloadType: '/layermesh/growing-map/1',
  maxEnvelopeBytes: MAX_GROWING_MAP_BYTES,
  fields: ({ digest, length, pieceLength, count, root, since }) => ({
    digest,
    length,
    pieceLength,
    count,
    root,
    since
  }),
  read: (fields) => ({
    digest: textField(fields, 'digest') as Digest,
    length: numberField(fields, 'length'),
    pieceLength: numberField(fields, 'pieceLength'),
    count: numberField(fields, 'count'),
    root: bytesField(fields, 'root'),
    since: numberField(fields, 'since')
  }),
  check: checkGrowingMap
}

/** Signs a growing map. @throws {TrustError} RECORD_MALFORMED when {@link openGrowingMap} would refuse it */
export function sealGrowingMap(map: GrowingMap, privateKey: PrivateKey): Promise<Uint8Array> {
  return sealRecord(FORM, map, privateKey)
}

/**
 * Reads a growing map and checks its form and signature; not whether its signer is one to believe.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID
 */
export async function openGrowingMap(envelope: Uint8Array): Promise<OpenedGrowingMap> {
  const { record: map, signer } = await openRecord(FORM, envelope)
  return { map, signer }
}

/** The SHA-256 over the hashes of the first pieces, 32 bytes each, one after the other. */
export function rootOfHashes(...hashes: readonly Uint8Array[]): Uint8Array {
  const root = createHash('sha256')
  for (const part of hashes) root.update(part)
  return Uint8Array.from(root.digest())
}

function checkGrowingMap({ digest, length, pieceLength, count, root, since }: GrowingMap): void {
  if (!isDigest(digest)) throw malformed('digest must be a sha256 or sha512 digest')
  if (!Number.isSafeInteger(length) || pieceCount(Math.max(length, 0)) <= 1) {
    throw malformed('length must be a number of bytes, of more than one piece')
  }
  if (pieceLength !== pieceLengthFor(length)) throw malformed('pieceLength must be the one for this length')
  if (!Number.isSafeInteger(count) || count < 0 || count > pieceCount(length, pieceLength)) {
    throw malformed('count must be a number of pieces')
  }
  if (!Number.isSafeInteger(since) || since < 0 || since > count) throw malformed('since must be a piece before count')
  if (root.byteLength !== HASH_LENGTH) throw malformed('root must have 32 bytes')
}
