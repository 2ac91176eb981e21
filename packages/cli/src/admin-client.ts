import type {
  ImageSummary,
  NodeStatus,
  PeerSummary,
  PrefetchEvent,
  PullEvent,
  TransferSummary,
  VerifyEvent
} from '@layermesh/node'
import { CliFailure } from './failure.ts'

const DEADLINE_MS = 10_000
/** A little more than the node itself takes at most. */
const ACTION_DEADLINE_MS = 35_000
const MAX_LINE_LENGTH = 1024 * 1024

/** What nodes are to fetch, and which nodes that are. */
export interface PrefetchInput {
  readonly reference: string
  readonly nodes: readonly string[]
  readonly zones: readonly string[]
  readonly all: boolean
  readonly platform?: string
  readonly deadlineMs?: number
}

/** Asks the admin API of a running node. Every failure is a {@link CliFailure} that says what to do. */
export class AdminClient {
  readonly #base: URL
  readonly #token: string | undefined

  /**
   * @param url `http://HOST:PORT`; `http://` may be left out
   * @param token the node's admin token; {@link act} needs it, and with access control all else but the status
   */
  constructor(url: string, token?: string) {
    this.#base = adminUrl(url)
    this.#token = token
  }

  status(): Promise<NodeStatus> {
    return this.get('status')
  }
  peers(): Promise<PeerSummary[]> {
    return this.get('peers')
  }
  images(): Promise<ImageSummary[]> {
    return this.get('images')
  }
  transfers(): Promise<TransferSummary[]> {
    return this.get('transfers')
  }

  /** Has the node bring an image; the last event is `done` or `error`. */
  pull(reference: string, deadlineMs?: number): AsyncGenerator<PullEvent, void, undefined> {
    return this.stream('pull', { reference, ...(deadlineMs === undefined ? {} : { deadlineMs }) })
  }

  /** Has the node have others bring an image; the last event is `done` or `error`. */
  prefetch(input: PrefetchInput): AsyncGenerator<PrefetchEvent, void, undefined> {
    return this.stream('prefetch', input)
  }

  /** Has the node read all its content again; the last event is `done` or `error`. */
  verify(input: { readonly bytesPerSecond?: number }): AsyncGenerator<VerifyEvent, void, undefined> {
    return this.stream('verify', input)
  }

  /**
   * Has the node do what only holders of its admin token may ask for.
   * @param input query parameters of a `GET`, else the JSON body
   */
  async act<T>(method: 'GET' | 'POST' | 'DELETE', path: string, input: Readonly<Record<string, unknown>>): Promise<T> {
    const signal = AbortSignal.timeout(ACTION_DEADLINE_MS)
    const headers = this.authorization()
    if (method === 'GET') {
      const query = new URLSearchParams()
      for (const [name, value] of Object.entries(input)) if (value !== undefined) query.set(name, String(value))
      return this.read<T>(`${path}?${query}`, { method, headers, signal })
    }
    const body = JSON.stringify(input)
    return this.read<T>(path, { method, headers: { ...headers, 'content-type': 'application/json' }, body, signal })
  }

  private async *stream<T>(name: string, input: unknown): AsyncGenerator<T, void, undefined> {
    const response = await this.ask(name, {
      method: 'POST',
      headers: { ...this.authorization(), 'content-type': 'application/json' },
      body: JSON.stringify(input)
    })
    for await (const line of this.lines(response, name)) yield parseJson<T>(line, this.#base)
  }

  private get<T>(name: string): Promise<T> {
    return this.read<T>(name, { headers: this.authorization(), signal: AbortSignal.timeout(DEADLINE_MS) })
  }

  private authorization(): Record<string, string> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
  }

  private async read<T>(name: string, init: RequestInit): Promise<T> {
    const response = await this.ask(name, init)
    return parseJson<T>(await response.text().catch((cause: unknown) => this.fail(cause)), this.#base)
  }

  private async ask(name: string, init: RequestInit): Promise<Response> {
    const url = new URL(`/api/v1/${name}`, this.#base)
    const response = await fetch(url, init).catch((cause: unknown) => this.fail(cause))
    if (response.ok) return response
    throw new CliFailure('FAILED', `the node at ${this.#base.origin} refused: ${await reasonOf(response)}`)
  }

  private async *lines(response: Response, what: string): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder()
    let rest = ''
    try {
      for await (const chunk of response.body ?? []) {
        const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n')
        rest = parts.pop() ?? ''
        if (rest.length > MAX_LINE_LENGTH) throw new Error('a line without end')
        yield* parts
      }
    } catch (cause) {
      throw new CliFailure('FAILED', `the node at ${this.#base.origin} broke off the ${what}; ask again to go on`, {
        cause
      })
    }
  }

  private fail(cause: unknown): never {
    const late = cause instanceof Error && cause.name === 'TimeoutError'
    const what = late ? 'does not answer in time' : 'can not be reached'
    throw new CliFailure(
      'FAILED',
      `the node at ${this.#base.origin} ${what}; start one with \`layermesh node\`, or say where it is with --admin URL`,
      { cause }
    )
  }
}

/** @throws {CliFailure} USAGE when it is no address */
export function adminUrl(url: string): URL {
  const text = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`
  if (URL.canParse(text)) return new URL(text)
  throw new CliFailure('USAGE', `${url} is no address of an admin listener, such as http://127.0.0.1:5001`)
}

function parseJson<T>(text: string, base: URL): T {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new CliFailure(
      'FAILED',
      `what answers at ${base.origin} is no layermesh node; say where it is with --admin URL`,
      {
        cause
      }
    )
  }
}

/** The message of an answer that is a refusal. */
async function reasonOf(response: Response): Promise<string> {
  const body: unknown = await response.json().catch(() => undefined)
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  const told = typeof error === 'object' && error !== null && 'message' in error ? String(error.message) : undefined
  return told ?? `HTTP status ${response.status}`
}
