import { isDeepStrictEqual } from 'node:util'
import { type AST, getStaticTOMLValue, ParseError, parseTOML } from 'toml-eslint-parser'
import { CliFailure } from '../failure.ts'

/** Keys of a table and of the tables in it: `['host', 'http://127.0.0.1:5000']`. */
export type TomlPath = readonly string[]
export type TomlTable = Readonly<Record<string, unknown>>

/**
 * A TOML file as its text, with the places of what is in it: changes are made to the text alone, so that comments,
 * order and spacing of everything else stay as their author wrote them.
 */
export class TomlText {
  readonly text: string
  readonly value: TomlTable
  readonly #top: AST.TOMLTopLevelTable
  readonly #comments: readonly AST.Comment[]

  /**
   * @param path named when the text can not be read
   * @throws CliFailure when it is no TOML 1.0
   */
  constructor(text: string, path: string) {
    const program = parse(text, path)
    this.text = text
    this.#top = program.body[0]
    this.#comments = program.comments
    this.value = getStaticTOMLValue(program)
  }

  /** Whether a comment says so: another program writes it anew, such as k3s when it starts. */
  get isGenerated(): boolean {
    return this.#comments.some(({ value }) => value.includes('DO NOT EDIT'))
  }

  get isEmpty(): boolean {
    return this.#top.body.length === 0
  }

  get(path: TomlPath): unknown {
    return path.reduce<unknown>((at, key) => (isTable(at) && Object.hasOwn(at, key) ? at[key] : undefined), this.value)
  }

  /** Where the first table begins, with the comments right above it; the end of the text when there is none. */
  get firstTableAt(): number {
    const table = this.#top.body.find((node) => node.type === 'TOMLTable')
    if (table === undefined) return this.text.length
    let line = table.loc.start.line
    for (const comment of this.#comments.toReversed()) {
      const { start } = comment.loc
      if (start.line === line - 1 && this.#startsLine(comment.range[0])) line = start.line
    }
    return this.#offsetOf(line)
  }

  /** The place of a value that stands below the header of its table, as `config_path` below `[plugins.x.registry]`. */
  valueRange(table: TomlPath, key: string): readonly [number, number] | undefined {
    const pair = this.#table(table)?.body.find((one) => isDeepStrictEqual(namesOf(one.key), [key]))
    return pair?.value.range
  }

  /** The beginning of the line after the header `[table]`; undefined when there is no such header. */
  afterHeader(table: TomlPath): number | undefined {
    const found = this.#table(table)
    return found && this.#offsetOf(found.key.loc.end.line + 1)
  }

  #table(path: TomlPath): AST.TOMLTable | undefined {
    return this.#top.body.find(
      (node): node is AST.TOMLTable =>
        node.type === 'TOMLTable' && node.kind === 'standard' && isDeepStrictEqual(namesOf(node.key), path)
    )
  }

  #startsLine(offset: number): boolean {
    return /(^|\n)[ \t]*$/.test(this.text.slice(0, offset))
  }

  /** @param line from 1; one behind the last is the end of the text */
  #offsetOf(line: number): number {
    let offset = 0
    for (let at = 1; at < line; at++) {
      const end = this.text.indexOf('\n', offset)
      if (end === -1) return this.text.length
      offset = end + 1
    }
    return offset
  }
}

/** A table that a file of TOML may have in such a place; empty when something else is there. */
export function tableOf(value: unknown): TomlTable {
  return isTable(value) ? value : {}
}

/** Whether two files say the same but for these keys, which only the second may have. */
export function differOnlyIn(keys: readonly TomlPath[], before: TomlTable, after: TomlTable): boolean {
  return isDeepStrictEqual(keys.reduce(without, prune(before)), keys.reduce(without, prune(after)))
}

/** A copy without one key; tables that are empty then are left out too. */
function without(value: TomlTable, [key = '', ...rest]: TomlPath): TomlTable {
  if (!Object.hasOwn(value, key)) return value
  const { [key]: inner, ...others } = value
  if (rest.length === 0 || !isTable(inner)) return others
  const left = without(inner, rest)
  return Object.keys(left).length === 0 ? others : { ...others, [key]: left }
}

/** A header without keys makes an empty table, which means nothing to those who read these files. */
function prune(value: TomlTable): TomlTable {
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => {
      if (!isTable(inner)) return [[key, inner]]
      const left = prune(inner)
      return Object.keys(left).length === 0 ? [] : [[key, left]]
    })
  )
}

function parse(text: string, path: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.0' })
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause
    throw new CliFailure(
      'FAILED',
      `${path}:${cause.lineNumber} is no TOML: ${cause.message.toLowerCase()}; mend it first, nothing was changed`,
      { cause }
    )
  }
}

function namesOf(key: AST.TOMLKey): string[] {
  return key.keys.map((one) => (one.type === 'TOMLBare' ? one.name : one.value))
}

function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
