import { decode, encode } from 'cborg'
import { MeshError } from '../errors.ts'

const DECODE_OPTIONS = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  rejectDuplicateMapKeys: true
}

/** Writes a message as deterministic CBOR; fields that are undefined are left out. */
export function encodeFields(fields: Record<string, unknown>): Uint8Array {
  return encode(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)))
}

/** Reads a CBOR map and checks its fields one by one; fields that nobody asks for are ignored, so that later versions may add some. */
export class Fields {
  readonly #values: Record<string, unknown>

  /** @throws {MeshError} PEER_MISBEHAVED when the bytes are no CBOR map */
  constructor(bytes: Uint8Array) {
    let value: unknown
    try {
      value = decode(bytes, DECODE_OPTIONS)
    } catch (cause) {
      throw malformed('not CBOR', cause)
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw malformed('not a map')
    }
    this.#values = value as Record<string, unknown>
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, name) && this.#values[name] !== null
  }

  text(name: string, maxLength = 512): string {
    const value = this.#values[name]
    if (typeof value !== 'string' || value.length > maxLength)
      throw malformed(`field ${name} is no text of up to ${maxLength}`)
    return value
  }

  integer(name: string, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.#values[name]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
      throw malformed(`field ${name} is no whole number up to ${max}`)
    }
    return value
  }

  flag(name: string): boolean {
    const value = this.#values[name]
    if (typeof value !== 'boolean') throw malformed(`field ${name} is neither true nor false`)
    return value
  }

  bytes(name: string, maxLength: number): Uint8Array {
    const value = this.#values[name]
    if (!(value instanceof Uint8Array) || value.byteLength > maxLength) {
      throw malformed(`field ${name} is no byte string of up to ${maxLength}`)
    }
    return value
  }

  list<T>(name: string, maxLength: number, read: (value: unknown) => T): T[] {
    const value = this.#values[name]
    if (!Array.isArray(value) || value.length > maxLength)
      throw malformed(`field ${name} is no list of up to ${maxLength}`)
    return value.map(read)
  }

  texts(name: string, maxLength: number, maxTextLength = 512): string[] {
    return this.list(name, maxLength, (value) => {
      if (typeof value !== 'string' || value.length > maxTextLength) throw malformed(`field ${name} holds no text`)
      return value
    })
  }

  /** A field of another kind, which `read` checks. */
  value<T>(name: string, read: (value: unknown) => T): T {
    return read(this.#values[name])
  }

  /** The value of a field that may be missing. */
  optional<T>(name: string, read: (fields: Fields, name: string) => T): T | undefined {
    return this.has(name) ? read(this, name) : undefined
  }
}

/** Reads a value with a parser of another package; what it throws becomes a breach of the protocol. */
export function readValue<T>(parse: (text: string) => T, text: string): T {
  try {
    return parse(text)
  } catch (cause) {
    throw malformed('a field does not hold what it should', cause)
  }
}

export function malformed(what: string, cause?: unknown): MeshError {
  return new MeshError('PEER_MISBEHAVED', `malformed message: ${what}`, cause === undefined ? {} : { cause })
}
