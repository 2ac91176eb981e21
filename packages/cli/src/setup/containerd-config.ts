import { dirname, isAbsolute, join, matchesGlob } from 'node:path'
import { CliFailure } from '../failure.ts'
import { differOnlyIn, type TomlPath, TomlText, tableOf } from './toml-text.ts'
import type { HostView, Wish } from './wish.ts'

const MAX_FILES = 100
const CONFIG_PATH = 'config_path'
const VERSION_2_PLUGIN = 'io.containerd.grpc.v1.cri'
const VERSION_3_PLUGIN = 'io.containerd.cri.v1.images'
const PLUGINS = ['cri', VERSION_2_PLUGIN, VERSION_3_PLUGIN]
/** Versions of the files, which containerd 2 alone reads from 3 on. */
const OLDEST_WITH_IMAGES_PLUGIN = 3
const NEWEST = 4
/** Of containerd. */
const FIRST_THAT_MERGES = 2

/** One file of the settings of containerd. */
interface ConfigFile {
  readonly path: string
  readonly file: TomlText
  /** Of the file, else of the one that imports it; 1 when neither says. */
  readonly version: number
  readonly missing: boolean
}

/** What the settings of containerd say of mirrors. */
export interface RegistrySettings {
  /** The directories of `config_path`; none when it is not set. */
  readonly roots: readonly string[]
  /** Without its CRI plugin nobody reads `config_path`. */
  readonly criDisabled: boolean
  /** @throws CliFailure when `config_path` can not be set there, with what to do */
  setRoot(root: string): Wish
}

/**
 * Reads config.toml and what it imports (containerd-config.toml(5)).
 * @param major of the version of containerd, if anybody knows it
 * @throws CliFailure when a file is no TOML, or has the older mirrors, which exclude `config_path`
 */
export async function readRegistrySettings(
  host: HostView,
  path: string,
  major: number | undefined
): Promise<RegistrySettings> {
  const files = await loadAll(host, path)
  const counts = whichCounts(files, major)
  refuseOlderMirrors(files)
  const set = counts.file.get(configPathOf(counts.version))
  const disabled = files.flatMap(({ file }) => (file.value.disabled_plugins as string[] | undefined) ?? [])
  return {
    roots: typeof set === 'string' && set !== '' ? set.split(':').filter((root) => root !== '') : [],
    criDisabled: disabled.some((name) => PLUGINS.includes(name)),
    setRoot: (root) => wishFor(counts, root, major)
  }
}

/**
 * The file whose `config_path` counts, or would. Of a plugin containerd 1.x takes the section of the last file that has
 * one, whole, in place of those before; 2.x merges them key by key (`mergeConfig` in its cmd/containerd/server/config),
 * so that the last file counts that has the key.
 */
function whichCounts(files: readonly ConfigFile[], major: number | undefined): ConfigFile {
  const merges = (major ?? 0) >= FIRST_THAT_MERGES || files.some(({ version }) => version >= OLDEST_WITH_IMAGES_PLUGIN)
  const has = (path: (version: number) => TomlPath) =>
    files.findLast(({ file, version }) => file.get(path(version)) !== undefined)
  const counts = (merges ? has(configPathOf) : undefined) ?? has(pluginOf) ?? files[0]
  if (counts === undefined) throw new Error('there is a first file at least')
  return counts
}

async function loadAll(host: HostView, main: string): Promise<ConfigFile[]> {
  const files: ConfigFile[] = []
  const waiting: { path: string; version: number; imported: boolean }[] = [{ path: main, version: 1, imported: false }]
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { path, imported } = next
    if (files.some((file) => file.path === path)) continue
    if (files.length === MAX_FILES) throw new CliFailure('FAILED', `${main} imports more than ${MAX_FILES} files`)
    const text = await host.read(path)
    if (text === undefined && imported) continue
    const file = new TomlText(text ?? '', path)
    const { version: own } = file.value
    const version = typeof own === 'number' ? own : next.version
    files.push({ path, file, version, missing: text === undefined })
    const patterns = Array.isArray(file.value.imports) ? file.value.imports : []
    for (const pattern of patterns) {
      for (const found of await expand(host, String(pattern), path))
        waiting.push({ path: found, version, imported: true })
    }
  }
  return files
}

/** The files that a pattern of `imports` means; such that begin with a pattern in a directory's name are in no use. */
async function expand(host: HostView, pattern: string, importer: string): Promise<readonly string[]> {
  const absolute = isAbsolute(pattern) ? pattern : join(dirname(importer), pattern)
  if (!/[*?[]/.test(absolute)) return [absolute]
  const directory = dirname(absolute)
  if (/[*?[]/.test(directory)) {
    throw new CliFailure(
      'FAILED',
      `${importer} imports ${pattern}, whose directories can not be followed; set config_path by hand and add --keep-config`
    )
  }
  return (await host.list(directory)).map((name) => join(directory, name)).filter((path) => matchesGlob(path, absolute))
}

function pluginOf(version: number): TomlPath {
  if (version === 1) return ['plugins', 'cri']
  return ['plugins', version < OLDEST_WITH_IMAGES_PLUGIN ? VERSION_2_PLUGIN : VERSION_3_PLUGIN]
}

function registryOf(version: number): TomlPath {
  return [...pluginOf(version), 'registry']
}

function configPathOf(version: number): TomlPath {
  return [...registryOf(version), CONFIG_PATH]
}

/** containerd does not start its CRI plugin with both: "`mirrors` cannot be set when `config_path` is provided". */
function refuseOlderMirrors(files: readonly ConfigFile[]): void {
  for (const { path, file, version } of files) {
    const mirrors = Object.keys(tableOf(file.get([...registryOf(version), 'mirrors'])))
    const tls = Object.entries(tableOf(file.get([...registryOf(version), 'configs'])))
      .filter(([, config]) => tableOf(config).tls !== undefined)
      .map(([name]) => name)
    const found =
      mirrors.length > 0 ? `registry.mirrors (${mirrors.join(', ')})` : `registry.configs.*.tls (${tls.join(', ')})`
    if (mirrors.length === 0 && tls.length === 0) continue
    throw new CliFailure(
      'FAILED',
      `${path} has ${found}, with which containerd refuses the config_path that hosts.toml needs; move them into files of certs.d (containerd's docs/hosts.md), then do this again`
    )
  }
}

function wishFor({ path, file, version, missing }: ConfigFile, root: string, major: number | undefined): Wish {
  const now = JSON.stringify(root)
  if (file.isGenerated) {
    throw new CliFailure(
      'FAILED',
      `${path} is written anew by another program (it says DO NOT EDIT), and sets no config_path; set it in the template of that program and add --keep-config`
    )
  }
  if (missing || file.isEmpty) {
    const newest = missing && major !== undefined && major >= 2 ? OLDEST_WITH_IMAGES_PLUGIN : 2
    return append(path, `version = ${newest}\n\n`, registryOf(newest), now, [['version']])
  }
  if (version === 1 || version > NEWEST) {
    throw new CliFailure(
      'FAILED',
      `${path} is of version ${version}; ${version === 1 ? '`containerd config migrate` prints it as one of version 2 or later' : `only versions up to ${NEWEST} are known`}; set config_path by hand and add --keep-config`
    )
  }
  const table = registryOf(version)
  const range = file.valueRange(table, CONFIG_PATH)
  if (range !== undefined) return replace(path, table, now, range)
  if (file.afterHeader(table) !== undefined) return insert(path, table, now)
  return append(path, '', table, now, [])
}

const unsafe = (path: string) =>
  new CliFailure('FAILED', `${path} can not be changed safely; set config_path by hand and add --keep-config`)

function replace(path: string, table: TomlPath, now: string, [from, to]: readonly [number, number]): Wish {
  return {
    path,
    apply(base = '') {
      const was = base.slice(from, to)
      const text = base.slice(0, from) + now + base.slice(to)
      verify(path, base, text, [[...table, CONFIG_PATH]])
      return { text, contribution: { kind: 'value', table, key: CONFIG_PATH, was, now } }
    }
  }
}

function insert(path: string, table: TomlPath, now: string): Wish {
  return {
    path,
    apply(base = '') {
      const at = new TomlText(base, path).afterHeader(table) ?? base.length
      const before = base.slice(0, at)
      const lines = `${before.endsWith('\n') ? '' : '\n'}  ${CONFIG_PATH} = ${now}\n`
      const text = before + lines + base.slice(at)
      const keys = [[...table, CONFIG_PATH]]
      verify(path, base, text, keys)
      return { text, contribution: { kind: 'lines', text: lines, keys } }
    }
  }
}

/** Adds a table at the end, which may not be nested in what is there: TOML lets no table be opened twice. */
function append(path: string, head: string, table: TomlPath, now: string, more: readonly TomlPath[]): Wish {
  return {
    path,
    apply(base = '') {
      const gap = base === '' ? '' : base.endsWith('\n') ? '\n' : '\n\n'
      const name = table.map((key) => (/^\w+$/.test(key) ? key : JSON.stringify(key))).join('.')
      const lines = `${gap}${head}# Made by \`layermesh setup containerd\`\n[${name}]\n  ${CONFIG_PATH} = ${now}\n`
      const keys = [[...table, CONFIG_PATH], ...more]
      verify(path, base, base + lines, keys)
      return { text: base + lines, contribution: { kind: 'lines', text: lines, keys } }
    }
  }
}

function verify(path: string, before: string, after: string, keys: readonly TomlPath[]): void {
  const changed = readChanged(after, path)
  if (!differOnlyIn(keys, new TomlText(before, path).value, changed.value)) throw unsafe(path)
}

function readChanged(text: string, path: string): TomlText {
  try {
    return new TomlText(text, path)
  } catch {
    throw unsafe(path)
  }
}
