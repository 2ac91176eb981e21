const PREFIX = 'whsec_'
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/
/** Standard Webhooks asks for 24 to 64 bytes. */
const MIN_BYTES = 24
const MAX_BYTES = 256
const MAX_SECRETS = 8

/**
 * The secrets of an endpoint, one a line; all of them sign, so that a receiver may hold any of them. `whsec_` is followed
 * by base64 (Standard Webhooks §Signature scheme); any other line is taken as it is.
 * @throws {TypeError}
 */
export function parseSecrets(text: string): readonly Uint8Array[] {
  const lines = linesOf(text)
  if (lines.length === 0) throw new TypeError('holds no secret; make one with: openssl rand -base64 32')
  if (lines.length > MAX_SECRETS) throw new TypeError(`holds ${lines.length} secrets, more than ${MAX_SECRETS}`)
  return lines.map(parseSecret)
}

function parseSecret(line: string, index: number): Uint8Array {
  const encoded = line.startsWith(PREFIX) ? line.slice(PREFIX.length) : undefined
  if (encoded !== undefined && !BASE64.test(encoded)) {
    throw new TypeError(`holds no base64 after ${PREFIX} in secret ${index + 1}`)
  }
  const secret = encoded === undefined ? Buffer.from(line) : Buffer.from(encoded, 'base64')
  if (secret.length >= MIN_BYTES && secret.length <= MAX_BYTES) return new Uint8Array(secret)
  throw new TypeError(
    `has ${secret.length} bytes in secret ${index + 1}, and ${MIN_BYTES} to ${MAX_BYTES} are needed; make one with: openssl rand -base64 32`
  )
}

/** Lines with something in them, without the space around it. */
export function linesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
