export interface BackOffOptions {
  /** Of the first failure, in ms; doubled with each one after it. */
  readonly baseMs: number
  readonly capMs: number
  /** The most that a receiver can ask for by Retry-After, in ms. */
  readonly maxRetryAfterMs: number
}

/**
 * How long to wait after so many failures in a row: exponential with full jitter, so that the nodes of a mesh do not come
 * back all at once; no less than the receiver asked for, within bounds.
 * @param random in [0, 1)
 */
export function backOffMs(
  failures: number,
  retryAfterMs: number | undefined,
  random: () => number,
  { baseMs, capMs, maxRetryAfterMs }: BackOffOptions
): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(failures - 1, 30))
  const wanted = Math.min(retryAfterMs ?? 0, maxRetryAfterMs)
  return Math.ceil(wanted + random() * ceiling)
}
