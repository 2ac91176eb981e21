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
  let section = ''
  for (const { path } of keys) {
    const value = valueAt(settings, path)
    if (value === undefined) continue
    const [first = '', second] = path
    if (second !== undefined && first !== section) lines.push([`${first}:`, ''])
    section = second === undefined ? '' : first
    const indent = second === undefined ? '' : '  '
    lines.push([`${indent}${path.at(-1)}: ${JSON.stringify(value)}`, `# ${originOf(path)}`])
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
