import { validateHeaderName, validateHeaderValue } from 'node:http'
import { linesOf } from './secrets.ts'

const MAX_HEADERS = 32
/** What the delivery sets itself, and what would change how the message is framed. */
const RESERVED =
  /^(host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|webhook-.*)$/

/** Headers that go with each delivery, one `Name: value` a line. @throws {TypeError} */
export function parseHeaders(text: string): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  for (const [index, line] of linesOf(text).entries()) {
    const [, name = '', value = ''] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? []
    const lowerCase = name.toLowerCase()
    if (!isHeader(name, value)) throw new TypeError(`has no header such as \`Authorization: …\` in line ${index + 1}`)
    if (RESERVED.test(lowerCase)) throw new TypeError(`sets ${lowerCase}, which the delivery sets itself`)
    headers[lowerCase] = value
  }
  if (Object.keys(headers).length > MAX_HEADERS) throw new TypeError(`holds more than ${MAX_HEADERS} headers`)
  return headers
}

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return value !== ''
  } catch {
    return false
  }
}
