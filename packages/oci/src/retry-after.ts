const SECONDS = /^[0-9]{1,9}$/
/** An HTTP date, roughly; Date.parse takes much that is none. */
const DATE = /^[A-Z][a-z]{2,8}, .{8,40} GMT$/

/** How long a server asks to be left alone, in ms; undefined when it does not say (RFC 9110 §10.2.3). */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  if (SECONDS.test(header)) return Number(header) * 1000
  const at = DATE.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs)
}
