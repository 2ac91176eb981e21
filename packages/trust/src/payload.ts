import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { TrustError } from './errors.ts'

/**
 * Payloads are flat CBOR maps in the core deterministic encoding of RFC 8949 §4.2.1. A reader takes the fields that it
 * knows, encodes them again and compares: only the one canonical encoding, without any other field, comes back equal.
 */

/** The fields of a payload by name. */
export type PayloadFields = Readonly<Record<string, string | number | boolean | Uint8Array>>

/** Fields as they were decoded, each still to be checked. */
export type UncheckedFields = ReadonlyMap<unknown, unknown>

const DECODE_OPTIONS = {
  useMaps: true,
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true
}

/** Encodes fields deterministically. */
export function encodePayload(fields: PayloadFields): Uint8Array {
  return encode(fields, rfc8949EncodeOptions)
}

/** Decodes the map of fields. @throws {TrustError} RECORD_MALFORMED */
export function decodePayload(bytes: Uint8Array): UncheckedFields {
  const value = decodeCbor(bytes)
  if (value instanceof Map) return value
  throw malformed('the payload is no map')
}

/** Makes sure that `fields` are all that `bytes` say, said in the canonical way. @throws {TrustError} RECORD_MALFORMED */
export function checkCanonical(bytes: Uint8Array, fields: PayloadFields): void {
  if (Buffer.compare(bytes, encodePayload(fields)) === 0) return
  throw malformed('the payload has unknown fields or is not in its one canonical encoding')
}

/** @throws {TrustError} RECORD_MALFORMED when the field is no text */
export function textField(fields: UncheckedFields, name: string): string {
  const value = fields.get(name)
  if (typeof value === 'string') return value
  throw malformed(`${name} must be a text`)
}

/** @throws {TrustError} RECORD_MALFORMED when the field is no number */
export function numberField(fields: UncheckedFields, name: string): number {
  const value = fields.get(name)
  if (typeof value === 'number') return value
  throw malformed(`${name} must be a number`)
}

/** The bytes of a field. @throws {TrustError} RECORD_MALFORMED when the field is no byte string */
export function bytesField(fields: UncheckedFields, name: string): Uint8Array {
  const value = fields.get(name)
  if (value instanceof Uint8Array) return value
  throw malformed(`${name} must be a byte string`)
}

/** A record that says what no record can say. */
export function malformed(message: string, cause?: unknown): TrustError {
  return new TrustError('RECORD_MALFORMED', message, { cause })
}

/** The decoder recurses, so that deep nesting ends in a RangeError: malformed like any other. */
function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decode(bytes, DECODE_OPTIONS)
  } catch (cause) {
    throw malformed('the payload is no deterministic CBOR', cause)
  }
}
