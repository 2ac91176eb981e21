import { settingsJsonSchema } from './schema.ts'

/** What the schema says of one setting that has a value of its own. */
export interface SettingKey {
  /** Such as `['mesh', 'maxPeers']`. */
  readonly path: readonly string[]
  /** The environment variable: `LAYERMESH_MESH_MAX_PEERS`. */
  readonly variable: string
  readonly type: 'string' | 'boolean' | 'integer' | 'strings' | 'objects' | 'map'
}

interface SchemaNode {
  readonly type?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  /** What the values of a map look like; false for an object of known keys. */
  readonly additionalProperties?: SchemaNode | boolean
}

const ROOT: SchemaNode = settingsJsonSchema()

/** Every setting that has a value of its own, in the order of the schema. */
export const SETTING_KEYS: readonly SettingKey[] = Object.freeze(listKeys(ROOT, []))

/** The keys that an object at `path` may have; empty when there is none. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  let node: SchemaNode | undefined = ROOT
  for (const step of path) node = typeof step === 'number' ? node?.items : childOf(node, String(step))
  return Object.keys(node?.properties ?? {})
}

function childOf(node: SchemaNode | undefined, key: string): SchemaNode | undefined {
  const { properties, additionalProperties } = node ?? {}
  return properties?.[key] ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined)
}

/** Writes a path as users read it: `trust[0].peerId`. */
export function formatKey(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
}

function listKeys(node: SchemaNode, path: readonly string[]): SettingKey[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const childPath = [...path, name]
    if (child.properties !== undefined) return listKeys(child, childPath)
    return [{ path: childPath, variable: variableOf(childPath), type: typeOf(child) }]
  })
}

function typeOf({ type, items }: SchemaNode): SettingKey['type'] {
  if (type === 'array') return items?.properties === undefined ? 'strings' : 'objects'
  if (type === 'object') return 'map'
  return type === 'boolean' || type === 'integer' ? type : 'string'
}

function variableOf(path: readonly string[]): string {
  const words = path.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase())
  return `LAYERMESH_${words.join('_')}`
}
