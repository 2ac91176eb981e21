import { parse as parseYamlValue } from 'yaml'
import { ConfigError, type Origin } from './errors.ts'
import { nearest } from './nearest.ts'
import { formatKey, SETTING_KEYS, type SettingKey } from './setting-keys.ts'

/** A setting from the environment or the command line. */
export interface Override {
  readonly path: readonly string[]
  readonly value: unknown
  readonly origin: Origin
  /** Adds to the list that stands there instead of taking its place. */
  readonly append?: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

const PREFIX = 'LAYERMESH_'
/** Read by the command itself. */
const OTHER_VARIABLES = ['LAYERMESH_CONFIG', 'LAYERMESH_ADMIN']

/** The settings that the environment holds; an empty variable counts as unset. @throws {ConfigError} INVALID_VALUE */
export function readEnvironment(environment: Environment): Override[] {
  return SETTING_KEYS.flatMap((key) => {
    const text = environment[key.variable]
    if (text === undefined || text === '') return []
    const origin: Origin = { kind: 'environment', variable: key.variable }
    return [{ path: key.path, value: readValue(key, text, origin), origin }]
  })
}

/**
 * A line for each variable that looks like a misspelt setting. They are not refused: Kubernetes puts variables such as
 * LAYERMESH_PORT into every pod beside a service of that name.
 */
export function misspeltVariables(environment: Environment): string[] {
  const known = [...SETTING_KEYS.map(({ variable }) => variable), ...OTHER_VARIABLES].map(withoutPrefix)
  return Object.keys(environment)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(withoutPrefix(name)))
    .flatMap((name) => {
      const meant = nearest(withoutPrefix(name), known)
      return meant === undefined ? [] : [`${name} is no setting and is ignored; did you mean ${PREFIX}${meant}?`]
    })
}

function withoutPrefix(variable: string): string {
  return variable.slice(PREFIX.length)
}

function readValue(key: SettingKey, text: string, origin: Origin): unknown {
  switch (key.type) {
    case 'string':
      return text
    case 'boolean':
      return text === 'true' || (text === 'false' ? false : text)
    case 'integer':
      return /^[0-9]+$/.test(text) ? Number(text) : text
    case 'strings':
      return text.trimStart().startsWith('[') ? readYaml(key, text, origin) : text.split(',').map((item) => item.trim())
    case 'objects':
    case 'map':
      return readYaml(key, text, origin)
  }
}

/** JSON is YAML, so both are understood. */
function readYaml(key: SettingKey, text: string, origin: Origin): unknown {
  try {
    return parseYamlValue(text, { maxAliasCount: 0 })
  } catch (cause) {
    throw new ConfigError('INVALID_VALUE', `expected JSON, such as ${example(key)}`, {
      key: formatKey(key.path),
      origin,
      cause
    })
  }
}

function example(key: SettingKey): string {
  if (key.type === 'map') return '{"key": ["a", "b"]}'
  return key.type === 'strings' ? '["a", "b"]' : '[{"key": "value"}]'
}
