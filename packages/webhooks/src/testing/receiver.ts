import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

/** A message that a receiver got. */
export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export type Answer = (response: ServerResponse, received: Received) => void

/** A receiver of webhooks for the length of one test. */
export class Receiver {
  readonly received: Received[] = []
  readonly #server = createServer((request, response) => void this.#take(request, response))
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = []
  #answer: Answer = (response) => void response.writeHead(204).end()

  /** Starts one that answers 204. */
  static async start(): Promise<Receiver> {
    const receiver = new Receiver()
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    onTestFinished(() => receiver.close())
    return receiver
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`
  }

  /** What was received, each body read as JSON. */
  get events(): { readonly id: string; readonly type: string; readonly sequence: string; readonly data: object }[] {
    return this.received.map(({ body }) => JSON.parse(body))
  }

  answer(answer: Answer | number): void {
    this.#answer = typeof answer === 'number' ? (response) => void response.writeHead(answer).end() : answer
  }

  /** Resolves once so many messages came in all. */
  async got(count: number): Promise<void> {
    if (this.received.length >= count) return
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }))
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request).catch(() => undefined)
    if (body === undefined) return
    const received = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body: body.toString()
    }
    this.received.push(received)
    this.#answer(response, received)
    for (const { count, resolve } of this.#waiting) if (this.received.length >= count) resolve()
  }
}
