import { unauthorized } from './errors.ts'

/** What an Authorization header says. */
export type Credentials =
  | { readonly scheme: 'basic'; readonly user: string; readonly password: string }
  | { readonly scheme: 'bearer'; readonly token: string }

const HEADER = /^([A-Za-z]+) +([A-Za-z0-9._~+/-]+=*) *$/
const MAX_USER_LENGTH = 255
const CONTROL = /\p{Cc}/u

/**
 * Reads the value of an Authorization header: Basic (RFC 7617, UTF-8) or Bearer (RFC 6750 §2.1).
 * @returns undefined when there is none
 * @throws {OciError} UNAUTHORIZED for another scheme and for what is malformed
 */
export function parseAuthorization(header: string | undefined): Credentials | undefined {
  if (header === undefined) return undefined
  const [, scheme = '', value = ''] = HEADER.exec(header) ?? []
  switch (scheme.toLowerCase()) {
    case 'basic':
      return parseBasic(value)
    case 'bearer':
      return { scheme: 'bearer', token: value }
    default:
      throw unauthorized('the Authorization header must be Basic or Bearer, with one credential')
  }
}

/** The header that {@link parseAuthorization} reads as this user and password. */
export function formatBasic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`
}

function parseBasic(value: string): Credentials {
  const text = decodeBase64(value)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0) throw malformed()
  const user = text.slice(0, colon)
  const password = text.slice(colon + 1)
  if (user.length > MAX_USER_LENGTH || CONTROL.test(text)) throw malformed()
  return { scheme: 'basic', user, password }
}

/** Undefined for what is no base64 of UTF-8. */
function decodeBase64(value: string): string | undefined {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function malformed() {
  return unauthorized('the Basic credential must be USER:PASSWORD in UTF-8 and base64')
}
