import { ERROR_STATUS, type ErrorCode, isOciError, OciError } from '@layermesh/oci'
import { encodeFields, Fields } from './fields.ts'

/** What went wrong at the other side; an error of the registry keeps its code, any other is told as UNAVAILABLE. */
export function encodeFailure(error: unknown): Uint8Array {
  const known = isOciError(error) ? error : undefined
  return encodeFields({
    error: known?.code ?? 'UNAVAILABLE',
    message: (known?.message ?? 'the peer could not answer').slice(0, 512)
  })
}

/** The fields of an answer. @throws {MeshError} PEER_MISBEHAVED; {OciError} what the peer answered instead */
export function readAnswer(bytes: Uint8Array): Fields {
  const fields = new Fields(bytes)
  if (!fields.has('error')) return fields
  const code = fields.text('error', 64)
  throw new OciError(Object.hasOwn(ERROR_STATUS, code) ? (code as ErrorCode) : 'UNKNOWN', fields.text('message'))
}
