import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50
/** Only ends what hangs: the machine may be slow, with dozens of nodes on it. */
const REQUEST_TIMEOUT_MS = 120_000

/** An answer in full, and how long it took. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
  /** From the request to the last byte of the body. */
  readonly elapsedMs: number
}

/** One request, its answer read to the end. */
export async function request(url: string, init: RequestInit = {}): Promise<Answer> {
  const started = performance.now()
  const response = await fetch(url, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS), ...init })
  const body = Buffer.from(await response.arrayBuffer())
  return { status: response.status, headers: response.headers, body, elapsedMs: performance.now() - started }
}

/** What `promise` resolves with. @throws when `timeoutMs` have passed before */
export async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = sleep(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`not within ${timeoutMs} ms`)
  })
  return await Promise.race([promise, late]).finally(() => {
    late.catch(() => {})
    timer.abort()
  })
}

/** Asks again and again until `probe` gives something other than undefined. @throws when `timeoutMs` have passed. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined> | T | undefined
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined) return value
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await sleep(POLL_MS)
  }
}
