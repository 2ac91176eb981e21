import { CliFailure } from '../failure.ts'
import { withoutItem } from './daemon-json.ts'
import { differOnlyIn, type TomlPath, TomlText } from './toml-text.ts'

/** What `setup` put into a file, so that it can be found there again. */
export type Contribution =
  /** Lines of TOML, with the keys that they bring. */
  | { readonly kind: 'lines'; readonly text: string; readonly keys: readonly TomlPath[] }
  /** Another value of a key of TOML: how it was written, and is. */
  | {
      readonly kind: 'value'
      readonly table: TomlPath
      readonly key: string
      readonly was: string
      readonly now: string
    }
  /** An item in a list of a JSON object. */
  | { readonly kind: 'item'; readonly key: string; readonly item: string; readonly madeKey: boolean }

/**
 * A file without what `setup` put into it, where others have changed it since.
 * @returns the text itself when nothing of it is left there
 * @throws CliFailure when what was put in was changed too, so that nobody can say what is whose
 */
export function takeOut(text: string, contribution: Contribution, path: string): string {
  switch (contribution.kind) {
    case 'lines':
      return takeOutLines(text, contribution, path)
    case 'value':
      return takeBackValue(text, contribution, path)
    case 'item':
      return withoutItem(text, path, contribution.key, contribution.item, contribution.madeKey) ?? text
  }
}

function takeOutLines(
  text: string,
  { text: lines, keys }: Extract<Contribution, { kind: 'lines' }>,
  path: string
): string {
  const file = new TomlText(text, path)
  const at = text.indexOf(lines)
  if (at !== -1 && text.indexOf(lines, at + 1) === -1) {
    const rest = text.slice(0, at) + text.slice(at + lines.length)
    if (differOnlyIn(keys, new TomlText(rest, path).value, file.value)) return rest
  } else if (at === -1 && keys.every((key) => file.get(key) === undefined)) return text
  throw changed(path)
}

function takeBackValue(
  text: string,
  { table, key, was, now }: Extract<Contribution, { kind: 'value' }>,
  path: string
): string {
  const range = new TomlText(text, path).valueRange(table, key)
  if (range === undefined) return text
  const [from, to] = range
  const found = text.slice(from, to)
  if (found === was) return text
  if (found !== now) throw changed(path)
  return text.slice(0, from) + was + text.slice(to)
}

function changed(path: string): CliFailure {
  return new CliFailure(
    'FAILED',
    `${path}: what layermesh put there was changed since; take it out by hand, or have \`layermesh setup undo --force\` bring back the file as it was before`
  )
}
