import type { Change, Metadata } from './metadata.ts'

/** Turns values into bytes and back. */
export interface Codec<Value> {
  encode(value: Value): Uint8Array
  decode(bytes: Uint8Array): Value
}

const NOTHING = new Uint8Array(0)

/** For keys that say it all. */
export const PRESENCE: Codec<true> = { encode: () => NOTHING, decode: () => true }

export const BYTES: Codec<Uint8Array> = { encode: (bytes) => bytes, decode: (bytes) => bytes }

export function json<Value>(): Codec<Value> {
  return {
    encode: (value) => Buffer.from(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as Value
  }
}

export interface TableRange {
  /** Only keys whose last part sorts after this. */
  readonly after?: string
  /** Only keys whose next part sorts before this. */
  readonly before?: string
  readonly limit?: number
  /** True gives the last rows first. @default false */
  readonly reverse?: boolean
}

// Below every character of a key part, so that `a` and all that follows it sort before `a-b`.
const SEPARATOR = '\0'
const AFTER_SEPARATOR = '\x01'

/**
 * One kind of rows: the name of the table and the parts of the key, joined so that rows sort by one part after the
 * other, each in ASCII order. A part never holds a control character: parts are repositories, tags, digests and ids.
 */
export class Table<Key extends readonly string[], Value> {
  readonly #metadata: Metadata
  readonly #name: string
  readonly #codec: Codec<Value>

  constructor(metadata: Metadata, name: string, codec: Codec<Value>) {
    this.#metadata = metadata
    this.#name = name
    this.#codec = codec
  }

  async get(...key: Key): Promise<Value | undefined> {
    const bytes = await this.#metadata.get(this.#join(key))
    return bytes === undefined ? undefined : this.#codec.decode(bytes)
  }

  /** The change that puts a row. */
  put(key: Key, value: Value): Change {
    return { type: 'put', key: this.#join(key), value: this.#codec.encode(value) }
  }

  /** The change that removes a row. */
  del(key: Key): Change {
    return { type: 'del', key: this.#join(key) }
  }

  /** The rows whose keys begin with the parts of `prefix`, in order: the key's parts after `prefix`, and the value. */
  async *range(prefix: readonly string[], range: TableRange = {}): AsyncGenerator<[string[], Value]> {
    const start = this.#join(prefix)
    const limit = range.limit === undefined ? {} : { limit: Math.max(0, range.limit) }
    const lt = range.before === undefined ? `${start}${AFTER_SEPARATOR}` : `${start}${SEPARATOR}${range.before}`
    const reverse = range.reverse ?? false
    const keys = { gt: `${start}${SEPARATOR}${range.after ?? ''}`, lt, reverse, ...limit }
    for await (const [key, bytes] of this.#metadata.range(keys)) {
      yield [key.slice(start.length + 1).split(SEPARATOR), this.#codec.decode(bytes)]
    }
  }

  #join(parts: readonly string[]): string {
    return [this.#name, ...parts].join(SEPARATOR)
  }
}
