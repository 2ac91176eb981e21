import { open } from 'node:fs/promises'
import { isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { ConfigError, type Origin } from './errors.ts'

const MAX_FILE_BYTES = 1024 * 1024
const MAX_ALIASES = 100

/** A parsed file that still knows on which line each of its keys stands. */
export interface YamlFile {
  /** The mapping; keys without a value are left out. */
  readonly values: Readonly<Record<string, unknown>>
  /** Where the value, or the key itself when `key` is given, at `path` stands. */
  origin(path: readonly PropertyKey[], key?: string): Origin
}

/** Reads a YAML mapping. @throws {ConfigError} FILE_UNREADABLE, SYNTAX */
export async function readYamlFile(file: string): Promise<YamlFile> {
  return parseYaml(await readBounded(file), file)
}

/** Reads a YAML mapping; `file` is its name in messages. @throws {ConfigError} SYNTAX */
export function parseYaml(text: string, file: string): YamlFile {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const lineAt = (offset: number | undefined) => (offset === undefined ? undefined : lines.linePos(offset).line)
  const originAt = (offset: number | undefined): Origin => {
    const line = lineAt(offset)
    return { kind: 'file', file, ...(line === undefined ? {} : { line }) }
  }
  const [error] = document.errors
  if (error) throw new ConfigError('SYNTAX', `no valid YAML: ${error.message}`, { origin: originAt(error.pos[0]) })
  if (document.contents !== null && !isMap(document.contents)) {
    throw new ConfigError('SYNTAX', 'expected settings such as `role: seed`', { origin: originAt(0) })
  }
  const offsetOf = (path: readonly PropertyKey[], key?: string): number | undefined => {
    for (let depth = path.length; depth >= 0; depth--) {
      const node = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true)
      if (!isNode(node)) continue
      const pair = key !== undefined && isMap(node) ? node.items.find((item) => String(item.key) === key) : undefined
      const found = pair !== undefined && isNode(pair.key) ? pair.key : node
      return found.range?.[0]
    }
    return undefined
  }
  return { values: toValues(document, originAt), origin: (path, key) => originAt(offsetOf(path, key)) }
}

function toValues(
  document: ReturnType<typeof parseDocument>,
  originAt: (offset: number | undefined) => Origin
): Record<string, unknown> {
  try {
    return withoutNulls(document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {}) as Record<string, unknown>
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError('SYNTAX', `no valid YAML: ${reason}`, { origin: originAt(undefined), cause })
  }
}

/** A section of which every line is commented out is as good as none. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const kept = Object.entries(value).filter(([, child]) => child !== null)
  return Object.fromEntries(kept.map(([key, child]) => [key, withoutNulls(child)]))
}

async function readBounded(path: string): Promise<string> {
  const origin: Origin = { kind: 'file', file: path }
  try {
    await using file = await open(path, 'r')
    const { size } = await file.stat()
    if (size > MAX_FILE_BYTES) {
      throw new ConfigError('FILE_UNREADABLE', `has ${size} bytes, more than the ${MAX_FILE_BYTES} that are read`, {
        origin
      })
    }
    return await file.readFile('utf8')
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    const reason = code === 'ENOENT' ? 'there is no such file' : `can not be read (${code})`
    throw new ConfigError('FILE_UNREADABLE', reason, { origin, cause })
  }
}
