import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { CertificateFiles } from './certificates.ts'
import type { Sandbox } from './sandbox.ts'

/** A CloudEvent as a receiver reads it. */
export interface ReceivedEvent {
  readonly id: string
  readonly type: string
  readonly source: string
  readonly subject?: string
  readonly sequence: string
  readonly data: { readonly repository?: string; readonly tag?: string; readonly digest?: string } & Record<
    string,
    unknown
  >
}

/** A receiver of webhooks on the loopback, which checks every signature. */
export class WebhookReceiver {
  /** What it got, also what it refused, in the order in which it came. */
  readonly events: ReceivedEvent[] = []
  /** Messages without the signature that they should have. */
  readonly forged: string[] = []
  /** The status that it answers with. */
  answer: (event: ReceivedEvent) => number = () => 204
  readonly #secret = randomBytes(32).toString('base64')
  readonly #secretFile: string
  readonly #scheme: 'http' | 'https'
  readonly #server: Server

  private constructor(secretFile: string, tls: { readonly cert: Buffer; readonly key: Buffer } | undefined) {
    this.#secretFile = secretFile
    this.#scheme = tls === undefined ? 'http' : 'https'
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.#respond(request, response)
    this.#server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer)
  }

  /** @param tls has it speak TLS */
  static async start(sandbox: Sandbox, tls?: CertificateFiles): Promise<WebhookReceiver> {
    const files = tls && { cert: await readFile(tls.certificate), key: await readFile(tls.key) }
    const receiver = new WebhookReceiver(join(await sandbox.makeDirectory('receiver'), 'secret'), files)
    await writeFile(receiver.#secretFile, `whsec_${receiver.#secret}\n`, { mode: 0o600 })
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    sandbox.defer(async () => {
      receiver.#server.close()
      receiver.#server.closeAllConnections()
    })
    return receiver
  }

  /** For the setting `webhooks` of a node that is to send here. */
  settings(name: string, events: readonly string[]): Readonly<Record<string, unknown>> {
    const { port } = this.#server.address() as AddressInfo
    const url = `${this.#scheme}://127.0.0.1:${port}/`
    return { name, url, events, secretFile: this.#secretFile, allowPrivateAddresses: true }
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request).catch(() => undefined)
    if (body !== undefined) response.writeHead(this.#take(request.headers, body)).end()
  }

  #take(headers: IncomingHttpHeaders, body: string): number {
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`
    const signature = createHmac('sha256', Buffer.from(this.#secret, 'base64')).update(signed).digest('base64')
    if (headers['webhook-signature'] !== `v1,${signature}`) this.forged.push(body)
    const event = JSON.parse(body) as ReceivedEvent
    this.events.push(event)
    return this.answer(event)
  }
}
