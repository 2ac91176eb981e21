import type { DestinationStream } from 'pino'

const PLAIN_VALUE = /^[\w.,:;/@+*=%()#[\]-]+$/
/** What would move the cursor, ring, or pretend to be a line of its own. */
const CONTROL = /\p{Cc}|\p{Zl}|\p{Zp}|\p{Bidi_Control}/gu

/** Turns the log's JSON lines into lines for people: `12:00:00.000 INFO  mesh peer connected peerId=12D3…`. */
export function prettyLines(destination: DestinationStream): DestinationStream {
  return {
    write(line) {
      destination.write(`${formatLine(line)}\n`)
    }
  }
}

function formatLine(line: string): string {
  const { time, level, component, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>
  const clock = typeof time === 'string' ? time.slice(11, 23) : ''
  const parts = [
    clock,
    String(level ?? '')
      .toUpperCase()
      .padEnd(5),
    ...(component === undefined ? [] : [`[${printable(String(component))}]`]),
    ...(msg === undefined ? [] : [printable(String(msg))]),
    ...Object.entries(fields).map(([key, value]) => `${printable(key)}=${formatValue(value)}`)
  ]
  return parts.join(' ') + formatError(err)
}

function formatValue(value: unknown): string {
  const text = typeof value === 'string' && PLAIN_VALUE.test(value) ? value : JSON.stringify(value)
  return printable(text)
}

/** The stack, below the line, when there is one. */
function formatError(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  const { stack, message } = error as { stack?: unknown; message?: unknown }
  const lines = String(stack ?? message ?? '').split('\n')
  return lines.map((text) => `\n    ${printable(text)}`).join('')
}

function printable(text: string): string {
  return text.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
