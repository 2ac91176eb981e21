import type { SettingKey, Settings } from '@layermesh/node'

/**
 * Writes settings as YAML, which JSON values are part of, each with a comment that says where it comes from.
 * @param originOf names the source of the setting at a path
 */
export function formatSettings(
  settings: Settings,
  keys: readonly SettingKey[],
  originOf: (path: readonly string[]) => string
): string {
  const lines: [string, string][] = []
  let before: readonly string[] = []
  for (const { path } of keys) {
    const value = valueAt(settings, path)
    if (value === undefined) continue
    const sections = path.slice(0, -1)
    const shared = sections.findIndex((name, depth) => name !== before[depth])
    for (let depth = shared < 0 ? sections.length : shared; depth < sections.length; depth++) {
      lines.push([`${'  '.repeat(depth)}${sections[depth]}:`, ''])
    }
    before = sections
    lines.push([`${'  '.repeat(sections.length)}${path.at(-1)}: ${JSON.stringify(value)}`, `# ${originOf(path)}`])
  }
  const width = Math.max(...lines.map(([text, comment]) => (comment === '' ? 0 : text.length)))
  return lines.map(([text, comment]) => `${`${text.padEnd(width)}  ${comment}`.trimEnd()}\n`).join('')
}

function valueAt(settings: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, step) => (typeof value === 'object' && value !== null ? Reflect.get(value, step) : undefined),
    settings
  )
}
