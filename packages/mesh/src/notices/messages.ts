import { OciError } from '@layermesh/oci'
import type { NoticeHead } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import { encodeFields, Fields, malformed } from '../wire/fields.ts'

const MAX_KIND_LENGTH = 64
const MAX_PEER_ID_LENGTH = 128

/** One request of the notice protocol (PROTOCOL.md §Notice). */
export type NoticeRequest =
  | { readonly op: 'list' }
  | { readonly op: 'changed'; readonly heads: readonly NoticeHead[] }
  | { readonly op: 'get'; readonly kind: string; readonly signer: string }

export function encodeNoticeRequest(request: NoticeRequest): Uint8Array {
  if (request.op === 'changed') return encodeFields({ op: request.op, notices: request.heads.map(packHead) })
  return encodeFields({ ...request })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} UNSUPPORTED for an operation that is not known */
export function decodeNoticeRequest(bytes: Uint8Array): NoticeRequest {
  const fields = new Fields(bytes)
  const op = fields.text('op', 32)
  switch (op) {
    case 'list':
      return { op }
    case 'changed':
      return { op, heads: readHeads(fields) }
    case 'get':
      return { op, kind: fields.text('kind', MAX_KIND_LENGTH), signer: fields.text('signer', MAX_PEER_ID_LENGTH) }
    default:
      throw new OciError('UNSUPPORTED', 'this node knows no such operation')
  }
}

/** The answer to `list`. */
export function encodeHeads(heads: readonly NoticeHead[]): Uint8Array {
  return encodeFields({ notices: heads.slice(0, LIMITS.noticesPerMessage).map(packHead) })
}

/** @throws {MeshError} PEER_MISBEHAVED */
export function decodeHeads(bytes: Uint8Array): NoticeHead[] {
  return readHeads(new Fields(bytes))
}

/** The answer to `get`, without an envelope when there is none, and to `changed`. */
export function encodeNotice(envelope?: Uint8Array): Uint8Array {
  return encodeFields({ envelope })
}

/** @throws {MeshError} PEER_MISBEHAVED */
export function decodeNotice(bytes: Uint8Array): Uint8Array | undefined {
  return new Fields(bytes).optional('envelope', (fields, name) => fields.bytes(name, LIMITS.noticeBytes))
}

function packHead({ kind, signer, sequence }: NoticeHead): unknown {
  return [kind, signer, sequence]
}

function readHeads(fields: Fields): NoticeHead[] {
  return fields.list('notices', LIMITS.noticesPerMessage, unpackHead)
}

function unpackHead(value: unknown): NoticeHead {
  if (!Array.isArray(value) || value.length !== 3) throw malformed('notice')
  const [kind, signer, sequence]: unknown[] = value
  if (typeof kind !== 'string' || kind.length > MAX_KIND_LENGTH) throw malformed('kind of a notice')
  if (typeof signer !== 'string' || signer.length > MAX_PEER_ID_LENGTH) throw malformed('signer of a notice')
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence) || sequence < 1) {
    throw malformed('sequence of a notice')
  }
  return { kind, signer, sequence }
}
