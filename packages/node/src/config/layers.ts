import type { Override } from './environment.ts'
import type { Origin } from './errors.ts'
import { formatKey } from './setting-keys.ts'
import type { YamlFile } from './yaml-file.ts'

/** The sources of settings laid over each other, not checked yet; what was laid later counts. */
export class SettingLayers {
  readonly #file: YamlFile | undefined
  readonly #values: Record<string, unknown>
  readonly #overridden = new Map<string, Origin>()

  constructor(file: YamlFile | undefined, overrides: readonly Override[]) {
    this.#file = file
    this.#values = structuredClone(file?.values ?? {})
    for (const override of overrides) this.lay(override)
  }

  get values(): Readonly<Record<string, unknown>> {
    return this.#values
  }

  /** Where the value at `path` came from, or the key `key` of the object there; undefined when it is the default. */
  origin(path: readonly PropertyKey[], key?: string): Origin | undefined {
    for (let depth = path.length; depth > 0; depth--) {
      const origin = this.#overridden.get(formatKey(path.slice(0, depth)))
      if (origin !== undefined) return origin
    }
    return this.#file?.origin(path, key)
  }

  /** Tells whether some source gave a value at `path`. */
  has(path: readonly string[]): boolean {
    let value: unknown = this.#values
    for (const step of path) value = isObject(value) ? value[step] : undefined
    return value !== undefined
  }

  private lay({ path, value, origin, append }: Override): void {
    const parents = path.slice(0, -1)
    const name = path.at(-1) ?? ''
    let target = this.#values
    for (const step of parents) {
      const child = target[step]
      const next = isObject(child) ? child : {}
      target[step] = next
      target = next
    }
    const present = target[name]
    if (append !== true || !Array.isArray(present)) {
      target[name] = append === true ? [value] : value
      this.#overridden.set(formatKey(path), origin)
      return
    }
    this.#overridden.set(formatKey([...path, present.length]), origin)
    target[name] = [...present, value]
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
