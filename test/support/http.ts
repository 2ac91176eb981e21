import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50
/** Only ends what hangs: the machine may be slow, with dozens of nodes on it. */
export const HANG_MS = 120_000
const MAX_ATTEMPTS = 10
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD'])
/** Codes of a connection that ended. */
const CLOSED: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

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
  const response = await send(url, { signal: AbortSignal.timeout(HANG_MS), ...init })
  const body = Buffer.from(await response.arrayBuffer())
  return { status: response.status, headers: response.headers, body, elapsedMs: performance.now() - started }
}

/**
 * Sends it once more when the connection ends before an answer: one that was kept alive may have been closed at that
 * moment, and only what changes nothing can be repeated (RFC 9110 section 9.2.2).
 */
async function send(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string }
    if (!REPEATABLE.has(init.method ?? 'GET') || !CLOSED.has(code ?? '')) throw error
    return await fetch(url, init)
  }
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

/**
 * Tries again and again until `attempt` takes less than `limitMs`: a wait that a node makes lasts as long each time, one
 * that a busy machine makes does not. Each attempt has to be about something else, or it is answered from memory.
 * @param attempt given its number; resolves with how long it took, in ms
 * @throws when each one took longer
 */
export async function quickly(limitMs: number, attempt: (number: number) => Promise<number>): Promise<void> {
  const took: number[] = []
  while (took.length < MAX_ATTEMPTS) {
    const tookMs = await attempt(took.length)
    if (tookMs < limitMs) return
    took.push(Math.round(tookMs))
  }
  throw new Error(`not once within ${limitMs} ms, but after ${took.join(', ')} ms`)
}
