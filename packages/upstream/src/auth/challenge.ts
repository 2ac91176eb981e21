/** One way in which a server lets itself be shown who asks (RFC 9110 §11.6.1). */
export interface Challenge {
  /** In small letters: `bearer`, `basic`. */
  readonly scheme: string
  /** By names in small letters. */
  readonly parameters: ReadonlyMap<string, string>
}

/** More of them, or longer ones, no registry sends. */
const MAX_FIELD_LENGTH = 8_192
const MAX_CHALLENGES = 16

/** tchar of RFC 9110 §5.6.2. */
const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
/** RFC 9110 §11.2, with what may not be part of a token. */
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y
const SPACES = /[ \t]*/y
const EQUALS = /[ \t]*=[ \t]*/y
const EMPTY_ELEMENTS = /[ \t,]*/y
/** qdtext and quoted-pair of RFC 9110 §5.6.4. */
const QUOTED = /"((?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)"/y

/**
 * Reads `WWW-Authenticate`: several fields, several challenges in one, commas in quotes. A field that is malformed gives
 * the challenges before that place.
 */
export function parseChallenges(fields: readonly string[]): Challenge[] {
  return fields.flatMap((field) => (field.length > MAX_FIELD_LENGTH ? [] : parseField(field))).slice(0, MAX_CHALLENGES)
}

function parseField(text: string): Challenge[] {
  const reader = new FieldReader(text)
  const challenges: Challenge[] = []
  for (;;) {
    reader.take(EMPTY_ELEMENTS)
    const scheme = reader.take(TOKEN)
    // What has a value is a parameter, whose challenge ended in something malformed.
    if (scheme === undefined || reader.startsWith('=')) return challenges
    reader.take(SPACES)
    const parameters = reader.take(TOKEN68) === undefined ? readParameters(reader) : new Map<string, string>()
    challenges.push({ scheme: scheme.toLowerCase(), parameters })
  }
}

/** Reads `name=value` up to where something else stands; of two with the same name the first counts. */
function readParameters(reader: FieldReader): Map<string, string> {
  const parameters = new Map<string, string>()
  for (;;) {
    const before = reader.at
    const parameter = readParameter(reader)
    if (parameter === undefined) {
      reader.at = before
      return parameters
    }
    if (!parameters.has(parameter.name)) parameters.set(parameter.name, parameter.value)
  }
}

function readParameter(reader: FieldReader): { name: string; value: string } | undefined {
  reader.take(EMPTY_ELEMENTS)
  const name = reader.take(TOKEN)
  if (name === undefined || reader.take(EQUALS) === undefined) return undefined
  const value = reader.takeQuoted() ?? reader.take(TOKEN)
  reader.take(SPACES)
  if (value === undefined || !(reader.done || reader.startsWith(','))) return undefined
  return { name: name.toLowerCase(), value }
}

/** A place in the text of a field. */
class FieldReader {
  at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  get done(): boolean {
    return this.at === this.#text.length
  }

  startsWith(text: string): boolean {
    return this.#text.startsWith(text, this.at)
  }

  /** Goes on behind what `pattern`, which is sticky, matches here; undefined, staying, when that is nothing. */
  take(pattern: RegExp): string | undefined {
    return this.#match(pattern)?.[0]
  }

  /** The content of a quoted string. */
  takeQuoted(): string | undefined {
    return this.#match(QUOTED)?.[1]?.replace(/\\(.)/g, '$1')
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    const match = pattern.exec(this.#text)
    if (match !== null) this.at = pattern.lastIndex
    return match
  }
}
