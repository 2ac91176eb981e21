import { decode, encode, rfc8949EncodeOptions } from 'cborg'
import { TrustError } from './errors.ts'

/**
 * Payloads are CBOR maps in the core deterministic encoding of RFC 8949 §4.2.1; most are flat, some hold lists of texts
 * or of maps. A reader takes the fields that it knows, encodes them again and compares: only the one canonical encoding,
 * without any other field, comes back equal.
 */

/** What a field of a payload may hold. */
export type PayloadValue = string | number | boolean | Uint8Array | PayloadFields | readonly PayloadValue[]

/** The fields of a payload by name. */
export interface PayloadFields {
  readonly [name: string]: PayloadValue
}

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
  return asFields(decodeCbor(bytes), 'the payload')
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

/**
 * The items of a list, each read by `read`.
 * @throws {TrustError} RECORD_MALFORMED when the field is no list, or longer than `maxLength`
 */
export function listField<T>(
  fields: UncheckedFields,
  name: string,
  maxLength: number,
  read: (item: unknown) => T
): T[] {
  const value = fields.get(name)
  if (!Array.isArray(value)) throw malformed(`${name} must be a list`)
  if (value.length > maxLength) throw malformed(`${name} has at most ${maxLength} entries`)
  return value.map(read)
}

/** An item of a list that is a text. @throws {TrustError} RECORD_MALFORMED */
export function asText(item: unknown): string {
  if (typeof item === 'string') return item
  throw malformed('an entry of a list must be a text')
}

/** A map within a payload. @throws {TrustError} RECORD_MALFORMED */
export function asFields(value: unknown, what = 'an entry of a list'): UncheckedFields {
  if (value instanceof Map) return value
  throw malformed(`${what} must be a map`)
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
