import type { z } from 'zod'
import { type Environment, misspeltVariables, type Override, readEnvironment } from './environment.ts'
import { ConfigError, type Origin } from './errors.ts'
import { SettingLayers } from './layers.ts'
import { nearest } from './nearest.ts'
import { type NodeConfig, toNodeConfig } from './node-config.ts'
import { findRuleBreak, warningsOf } from './rules.ts'
import { type Settings, settingsSchema } from './schema.ts'
import { formatKey, keysAt, SETTING_KEYS } from './setting-keys.ts'
import { parseYaml, readYamlFile, type YamlFile } from './yaml-file.ts'

export interface ConfigSources {
  /** The YAML file; without one, the one that LAYERMESH_CONFIG names, else none. */
  readonly file?: string
  /** The text of a file that is at hand, named `file` in messages. */
  readonly text?: string
  readonly environment?: Environment
  /** Settings of the command line. */
  readonly flags?: readonly Override[]
}

export interface LoadedConfig {
  readonly config: NodeConfig
  /** The same, spelt as in the file. */
  readonly settings: Settings
  /** Where the setting at `path` came from; undefined when it is the default. */
  origin(path: readonly string[]): Origin | undefined
  /** What the operator should know, a line each. */
  readonly warnings: readonly string[]
}

/** Reads the configuration: a flag counts before the environment, that before the file, that before the default. @throws {ConfigError} */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const { environment = {}, flags = [] } = sources
  const file = await readFileOf(sources)
  const layers = new SettingLayers(file, [...readEnvironment(environment), ...flags])
  const parsed = settingsSchema.safeParse(layers.values)
  if (!parsed.success) throw toConfigError(parsed.error.issues, layers)
  const config = toNodeConfig(parsed.data)
  const broken = findRuleBreak(config)
  if (broken !== undefined) throw errorAt(broken.code, broken.path, broken.message, layers.origin(broken.path))
  return {
    config,
    settings: parsed.data,
    origin: (path) => (layers.has(path) ? layers.origin(path) : undefined),
    warnings: [...misspeltVariables(environment), ...warningsOf(config)]
  }
}

async function readFileOf({ file, text, environment }: ConfigSources): Promise<YamlFile | undefined> {
  if (text !== undefined) return parseYaml(text, file ?? 'configuration')
  const path = file ?? environment?.LAYERMESH_CONFIG
  return path === undefined || path === '' ? undefined : readYamlFile(path)
}

/** A misspelt key comes before all else: it is often why another one is missing. */
function toConfigError(issues: readonly z.core.$ZodIssue[], layers: SettingLayers): ConfigError {
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') return unknownKey(issue.path, issue.keys[0] ?? '', layers)
  }
  const [issue] = issues
  if (issue === undefined) return new ConfigError('INVALID_VALUE', 'the configuration is not valid')
  // Of a key of a map that is wrong, the reason stands one level deeper.
  const reason = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message
  const message = reason.replace(/^Invalid (input|option): /, '')
  return errorAt('INVALID_VALUE', issue.path, message, layers.origin(issue.path))
}

function unknownKey(parent: readonly PropertyKey[], key: string, layers: SettingLayers): ConfigError {
  const path = [...parent, key]
  const meant = suggestion(parent, key)
  const hint = meant === undefined ? `known here: ${keysAt(parent).join(', ')}` : `did you mean ${meant}?`
  const details = { key: formatKey(path), ...originOf(layers.origin(parent, key)) }
  return new ConfigError('UNKNOWN_KEY', `there is no setting ${details.key}; ${hint}`, details)
}

/** A neighbour that is spelt alike, else settings of just this name that stand elsewhere. */
function suggestion(parent: readonly PropertyKey[], key: string): string | undefined {
  const neighbour = nearest(key, keysAt(parent))
  if (neighbour !== undefined) return formatKey([...parent, neighbour])
  const elsewhere = SETTING_KEYS.filter(({ path }) => path.at(-1) === key).map(({ path }) => formatKey(path))
  return elsewhere.length === 0 ? undefined : elsewhere.join(' or ')
}

function errorAt(
  code: ConfigError['code'],
  path: readonly PropertyKey[],
  message: string,
  origin: Origin | undefined
): ConfigError {
  const key = formatKey(path)
  return new ConfigError(code, key === '' ? message : `${key}: ${message}`, { key, ...originOf(origin) })
}

function originOf(origin: Origin | undefined): { origin?: Origin } {
  return origin === undefined ? {} : { origin }
}
