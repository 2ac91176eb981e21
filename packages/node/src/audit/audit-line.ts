import type { AuditEntry } from './entry.ts'

const HIDDEN = '[hidden]'
const SECRET_NAME = /secret|token|password|authorization|credential|^key$|privatekey/i
const MAX_TEXT = 1_024
const MAX_ITEMS = 64
const MAX_DEPTH = 4
/** What JSON leaves as it is and a terminal or an editor would act on or take for the end of a line. */
const CONTROL = /[\u007f-\u009f]|\p{Zl}|\p{Zp}|\p{Bidi_Control}/gu

/**
 * Writes an entry as one line of JSON. Nothing that a client chose can end the line, begin another or move a cursor, nor
 * make the line longer than some tens of KiB; values of fields that are named like secrets are hidden.
 */
export function formatAuditLine(entry: AuditEntry): string {
  const { details, ...rest } = entry
  const bounded = { ...(cut(rest) as object), ...(details === undefined ? {} : { details: hide(details, 0) }) }
  const json = JSON.stringify(bounded)
  return `${json.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}

function cut(fields: Readonly<Record<string, unknown>>): unknown {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, hide(value, 0)]))
}

function hide(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.length <= MAX_TEXT ? value : `${value.slice(0, MAX_TEXT)}…`
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_DEPTH) return '…'
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => hide(item, depth + 1))
  const entries = Object.entries(value).slice(0, MAX_ITEMS)
  return Object.fromEntries(
    entries.map(([name, item]) => [name.slice(0, MAX_TEXT), SECRET_NAME.test(name) ? HIDDEN : hide(item, depth + 1)])
  )
}
