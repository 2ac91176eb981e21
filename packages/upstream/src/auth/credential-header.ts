import type { Credential } from '../interfaces.ts'

/** `Authorization` of the scheme Basic (RFC 7617). */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

const MAX_HEADER_LENGTH = 32 * 1024
const AUTHORIZATION = /^(basic|bearer) +([A-Za-z0-9\-._~+/]+=*) *$/i

/** What a client showed by its `Authorization`; undefined when that is of no use to a registry. */
export function parseAuthorization(header: string): Credential | undefined {
  const [, scheme, value] = (header.length <= MAX_HEADER_LENGTH && AUTHORIZATION.exec(header)) || []
  if (scheme === undefined || value === undefined) return undefined
  if (scheme.toLowerCase() === 'bearer') return { kind: 'registryToken', token: value }
  const text = Buffer.from(value, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  if (colon < 0) return undefined
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) }
}
