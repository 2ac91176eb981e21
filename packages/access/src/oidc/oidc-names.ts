const PREFIX = /^[A-Za-z0-9._-]+:$/
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Tells whether a text can stand before the names of an issuer. */
export function isPrefix(text: string): boolean {
  return PREFIX.test(text)
}

/** Tells whether a text can be the identifier of an issuer. */
export function isIssuer(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname))
}
