import { isDeepStrictEqual } from 'node:util'
import { applyEdits, modify, type Node, type ParseError, parse, parseTree, printParseErrorCode } from 'jsonc-parser'
import { CliFailure } from '../failure.ts'

type JsonObject = Readonly<Record<string, unknown>>

/**
 * Puts an item first into the list of a key; order and formatting of everything else stay.
 * @param text of the file; empty when it is not there, which Docker takes like `{}`
 * @returns undefined when the item is there already
 * @throws CliFailure when the text is no JSON object, or the key has no list of strings
 */
export function withItem(text: string, path: string, key: string, item: string): string | undefined {
  if (text.trim() === '') return `${JSON.stringify({ [key]: [item] }, null, 2)}\n`
  const before = parseObject(text, path)
  const list = listOf(before, path, key)
  if (list?.includes(item)) return undefined
  const after = list ? insertFirst(text, key, item) : insertLast(text, key, item)
  return verified(after, path, { ...before, [key]: [item, ...(list ?? [])] })
}

/**
 * Takes the item out again; the key too when `dropKey` and nothing else is in its list.
 * @returns undefined when it is not there
 * @throws CliFailure as {@link withItem}
 */
export function withoutItem(
  text: string,
  path: string,
  key: string,
  item: string,
  dropKey: boolean
): string | undefined {
  const before = text.trim() === '' ? {} : parseObject(text, path)
  const list = listOf(before, path, key)
  const index = list?.indexOf(item) ?? -1
  if (list === undefined || index === -1) return undefined
  const { [key]: _, ...others } = before
  if (dropKey && list.length === 1) return verified(remove(text, key), path, others)
  return verified(remove(text, key, index), path, { ...before, [key]: list.toSpliced(index, 1) })
}

/** @throws CliFailure with the line where the text stops being a JSON object */
export function parseObject(text: string, path: string): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw notJson(text, path, cause)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw new CliFailure('FAILED', `${path} holds no JSON object; mend it first, nothing was changed`)
}

function listOf(object: JsonObject, path: string, key: string): readonly string[] | undefined {
  const { [key]: list } = object
  if (list === undefined) return undefined
  if (Array.isArray(list) && list.every((item) => typeof item === 'string')) return list
  throw new CliFailure('FAILED', `${path}: ${key} is no list of strings; mend it first, nothing was changed`)
}

function notJson(text: string, path: string, cause: unknown): CliFailure {
  const errors: ParseError[] = []
  parse(text, errors, { disallowComments: true })
  const [first] = errors
  const line = first && text.slice(0, first.offset).split('\n').length
  const what = first ? ` (${printParseErrorCode(first.error)})` : ''
  return new CliFailure(
    'FAILED',
    `${path}${line === undefined ? '' : `:${line}`} is no JSON${what}; mend it first, nothing was changed`,
    { cause }
  )
}

/** Adds the key behind the last one, with the space that is before that: only what is added changes. */
function insertLast(text: string, key: string, item: string): string {
  const { offset, children = [] } = treeOf(text)
  const pair = `${JSON.stringify(key)}: [${JSON.stringify(item)}]`
  const last = children.at(-1)
  if (last === undefined)
    return insert(text, offset + 1, `\n  ${pair}${/^\s*\n/.test(text.slice(offset + 1)) ? '' : '\n'}`)
  return insert(text, last.offset + last.length, `,${spaceBefore(text, last)}${pair}`)
}

function insertFirst(text: string, key: string, item: string): string {
  const list = treeOf(text).children?.find(({ children: [name] = [] }) => name?.value === key)?.children?.[1]
  const [first] = list?.children ?? []
  if (list === undefined) return text
  if (first === undefined) return insert(text, list.offset + 1, JSON.stringify(item))
  return insert(text, first.offset, `${JSON.stringify(item)},${spaceBefore(text, first) || ' '}`)
}

function treeOf(text: string): Node {
  const tree = parseTree(text)
  if (tree === undefined) throw new Error('the text was parsed as JSON before')
  return tree
}

function spaceBefore(text: string, { offset }: Node): string {
  return /\s*$/.exec(text.slice(0, offset))?.[0] ?? ''
}

function insert(text: string, at: number, what: string): string {
  return text.slice(0, at) + what + text.slice(at)
}

function remove(text: string, ...path: readonly (string | number)[]): string {
  return applyEdits(text, modify(text, [...path], undefined, {}))
}

/** A key that is there twice means its last value to one reader and its first to another. */
function verified(text: string, path: string, expected: JsonObject): string {
  if (isDeepStrictEqual(JSON.parse(text), expected)) return text
  throw new CliFailure(
    'FAILED',
    `${path} can not be changed safely, perhaps since it has a key twice; change it by hand`
  )
}
