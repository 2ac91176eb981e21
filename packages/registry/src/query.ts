import { OciError } from '@layermesh/oci'

/**
 * The query of a request. Unlike `URLSearchParams` it leaves `+` as it is: media types carry one, and clients do not
 * all escape it.
 */
export class Query {
  readonly #values = new Map<string, string[]>()

  /** @param text what follows the `?`. @throws {OciError} NAME_INVALID when its percent-encoding is broken */
  constructor(text: string) {
    for (const pair of text.split('&')) {
      if (pair === '') continue
      const equals = pair.indexOf('=')
      const key = decodeOnce(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? '' : decodeOnce(pair.slice(equals + 1))
      const values = this.#values.get(key)
      if (values === undefined) this.#values.set(key, [value])
      else values.push(value)
    }
  }

  /** The first value of a parameter; undefined when there is none. */
  get(name: string): string | undefined {
    return this.#values.get(name)?.[0]
  }

  /** All values of a parameter, in their order. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? []
  }
}

/** Writes a query, leaving out what is undefined; `?a=b&c=d`, or nothing at all when nothing is left. */
export function formatQuery(parameters: Readonly<Record<string, string | number | undefined>>): string {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`)
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

/** Undoes percent-encoding, once. @throws {OciError} NAME_INVALID */
export function decodeOnce(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new OciError('NAME_INVALID', 'the request target is not valid percent-encoded UTF-8', { cause })
  }
}
