/**
 * JSON in which every reader sees the same: `JSON.parse` keeps the last of two equal keys where other readers keep the
 * first, and accepts any depth. A scan over the text refuses both before the values are built. The scan
 * does not recurse, and leaves the judgement of the syntax to `JSON.parse`.
 */

/** Why a text is no strict JSON; the message says it in plain words. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError'
}

/**
 * Parses UTF-8 JSON in which no object names a key twice and nothing is nested deeper than `maxDepth` containers.
 * @throws {StrictJsonError} on invalid UTF-8, a byte order mark, wrong syntax, a duplicate key or too deep a nesting
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number): unknown {
  const text = decodeUtf8(bytes)
  try {
    checkStructure(text, maxDepth)
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) throw new StrictJsonError('is no valid JSON', { cause: error })
    throw error
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new StrictJsonError('is not valid UTF-8', { cause })
  }
}

/** The keys seen in each open object, innermost last; undefined stands for an array. */
type OpenContainers = (Set<string> | undefined)[]

const OPENING_BRACE = 0x7b
const OPENING_BRACKET = 0x5b
const CLOSING_BRACE = 0x7d
const CLOSING_BRACKET = 0x5d
const QUOTE = 0x22
const BACKSLASH = 0x5c

function checkStructure(text: string, maxDepth: number): void {
  const open: OpenContainers = []
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPENING_BRACE:
      case OPENING_BRACKET:
        if (open.length === maxDepth) throw new StrictJsonError(`is nested deeper than ${maxDepth} levels`)
        open.push(text.charCodeAt(at) === OPENING_BRACE ? new Set() : undefined)
        break
      case CLOSING_BRACE:
      case CLOSING_BRACKET:
        open.pop()
        break
      case QUOTE: {
        const end = endOfString(text, at)
        checkKey(text, at, end, open.at(-1))
        at = end - 1
      }
    }
  }
}

/** The index after the closing quote of the string that starts at `start`. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) return at + 1
    if (code === BACKSLASH) at++
  }
  return text.length
}

const COLON_FOLLOWS = /[ \t\r\n]*:/y

/** Refuses the string from `start` to `end` when it is a key that its object has already, however it is escaped. */
function checkKey(text: string, start: number, end: number, keys: Set<string> | undefined): void {
  COLON_FOLLOWS.lastIndex = end
  if (keys === undefined || !COLON_FOLLOWS.test(text)) return
  const literal = text.slice(start, end)
  const key = literal.includes('\\') ? String(JSON.parse(literal)) : literal.slice(1, -1)
  if (keys.has(key)) throw new StrictJsonError(`names the key ${JSON.stringify(key.slice(0, 100))} twice`)
  keys.add(key)
}
