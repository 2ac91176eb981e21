import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'
import type { CertificateFiles } from '../certificates.ts'
import { type Asked, type Fault, FaultPlan, readRequest } from './faults.ts'
import { relayBody } from './faulty-body.ts'
import { Hold } from './hold.ts'
import { Listener } from './listener.ts'
import { Throttle } from './throttle.ts'
import type { TokenService } from './token-service.ts'
import { type Exchange, Traffic } from './traffic.ts'

/** Of this machine too, and no other test listens there: a port that was given up can be had again. */
export const REGISTRY_ADDRESS = '127.0.0.3'
/** Another host, as far as addresses tell. */
export const OBJECTS_ADDRESS = '127.0.0.4'
const SIGNATURE = 'X-Amz-Signature'
/** What belongs to one connection (RFC 9110 §7.6.1). */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding']

export interface FaultProxyOptions {
  /** Where it listens. @default an address of the loopback on which nobody else listens */
  readonly address?: string
  /** Has it speak TLS. */
  readonly tls?: CertificateFiles
}

/** What stands behind a proxy. */
export interface Behind {
  /** The registry as clients are to see it. */
  readonly registryUrl: string
  /** Whom to trust for it, in PEM, when it speaks TLS. */
  readonly ca?: Buffer
  /** The same content, given to everybody: what the object store reads. */
  readonly openUrl: string
  /** Answers at `/token`. */
  readonly tokens?: TokenService
}

/**
 * Stands in front of a registry, counts what is asked and given, and does to it what it is told. Beside it an object
 * store stands at another address, to which it sends clients for blobs when it is told to; as S3 does, that one
 * refuses who has no signature, and who shows a credential besides.
 */
export class FaultProxy {
  readonly traffic = new Traffic()
  readonly #plan = new FaultPlan()
  readonly #throttle = new Throttle()
  readonly #hold = new Hold()
  readonly #registry: Listener
  readonly #objects: Listener
  readonly #signingKey = randomBytes(32)
  #behind: Behind | undefined

  private constructor(address: string, objectsAddress: string, tls: { cert: Buffer; key: Buffer } | undefined) {
    this.#registry = new Listener(address, tls, (request, response) => this.#take(request, response, this.#answer))
    this.#objects = new Listener(objectsAddress, tls, (request, response) => this.#take(request, response, this.#give))
  }

  /** Begins to listen; {@link serve} says for whom. */
  static async open({ address, tls }: FaultProxyOptions = {}): Promise<FaultProxy> {
    const identity = tls && { cert: await readFile(tls.certificate), key: await readFile(tls.key) }
    const proxy = new FaultProxy(address ?? REGISTRY_ADDRESS, address ?? OBJECTS_ADDRESS, identity)
    await proxy.start()
    return proxy
  }

  serve(behind: Behind): void {
    this.#behind = behind
  }

  /** `ADDRESS:PORT`. */
  get host(): string {
    return this.#registry.host
  }

  get url(): string {
    return this.#registry.url
  }

  /** In place of all faults before; what hangs because of them goes on hanging. */
  setFaults(...faults: readonly Fault[]): void {
    this.#plan.set(faults)
  }

  /** What hangs goes on. */
  release(): void {
    this.#hold.release()
  }

  /** Resolves when so many answers hang at one time, since a fault says so. */
  hanging(count: number): Promise<void> {
    return this.#hold.reached(count)
  }

  /** Of all bodies together. */
  setBytesPerSecond(rate: number): void {
    this.#throttle.bytesPerSecond = rate
  }

  /** Everything as it was: no faults, no limit, nothing hangs, connections are taken; and counts from 0. */
  async mend(): Promise<void> {
    this.setFaults()
    this.setBytesPerSecond(Number.POSITIVE_INFINITY)
    this.release()
    await this.start()
    this.traffic.clear()
  }

  /** Takes connections, after {@link stop} at the same port. */
  async start(): Promise<void> {
    await Promise.all([this.#registry.start(), this.#objects.start()])
  }

  /** Ends all connections, and refuses others. */
  async stop(): Promise<void> {
    await Promise.all([this.#registry.stop(), this.#objects.stop()])
  }

  #take(request: IncomingMessage, response: ServerResponse, handle: Handler): void {
    response.on('error', () => {})
    handle.call(this, request, response, new URL(request.url ?? '/', this.url)).catch(() => response.destroy())
  }

  /** As the registry. */
  async #answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const asked = readRequest(request.method ?? '', url.pathname)
    const exchange = this.#begin(asked, request)
    const fault = this.#plan.take(asked)
    if (await this.#preempted(fault, exchange, response)) return
    if (asked.wanted === 'token') return await this.#giveToken(request, response, url, exchange)
    const target = new URL(request.url ?? '/', this.#target.registryUrl)
    const answer = await this.#ask(target, request, fault)
    if (fault?.does === 'redirect' && answer.statusCode === 200) {
      answer.destroy()
      exchange.status = 307
      return void response.writeHead(307, { Location: this.#signed(asked) }).end()
    }
    await this.#relay(answer, response, exchange, fault)
  }

  /** As the object store. */
  async #give(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, repository = '', reference = ''] = /^\/objects\/(.+)\/([^/]+)$/.exec(url.pathname) ?? []
    const asked: Asked = { method: request.method ?? '', wanted: 'object', repository, reference }
    const exchange = this.#begin(asked, request)
    const fault = this.#plan.take(asked)
    if (await this.#preempted(fault, exchange, response)) return
    const refusal = this.#refusal(url, request)
    if (refusal !== undefined) {
      exchange.status = refusal
      return void response.writeHead(refusal).end()
    }
    const target = new URL(`/v2/${repository}/blobs/${reference}`, this.#target.openUrl)
    await this.#relay(await this.#ask(target, request, fault), response, exchange, fault)
  }

  #begin(asked: Asked, { socket, headers }: IncomingMessage): Exchange {
    const [scheme] = headers.authorization?.split(' ') ?? []
    return this.traffic.begin({
      ...asked,
      from: `${socket.remoteAddress}:${socket.remotePort}`,
      ...(headers.range === undefined ? {} : { range: headers.range }),
      ...(scheme === undefined ? {} : { scheme }),
      bytes: 0
    })
  }

  /** Whether a fault has answered in the registry's place, or the client has gone before anybody did. */
  async #preempted(fault: Fault | undefined, exchange: Exchange, response: ServerResponse): Promise<boolean> {
    if (fault?.does === 'answer') {
      exchange.status = fault.status
      response.writeHead(fault.status, fault.headers).end(exchange.method === 'HEAD' ? undefined : fault.body)
      return true
    }
    if (fault?.does === 'cut' && fault.afterBytes === undefined) {
      response.destroy()
      return true
    }
    if (fault?.does === 'hang' && fault.afterBytes === undefined) await this.#hang(response)
    return response.destroyed
  }

  /** Resolves when what hangs is let go, or when the client leaves. */
  async #hang(response: ServerResponse): Promise<void> {
    if (!response.destroyed) await this.#hold.hang(once(response, 'close'))
  }

  async #giveToken(request: IncomingMessage, response: ServerResponse, url: URL, exchange: Exchange): Promise<void> {
    const query = request.method === 'POST' ? new URLSearchParams(await text(request)) : url.searchParams
    const { status, body } = this.#target.tokens?.answer(query, request.headers.authorization) ?? {
      status: 404,
      body: ''
    }
    exchange.status = status
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(body)
  }

  async #ask(target: URL, client: IncomingMessage, fault: Fault | undefined): Promise<IncomingMessage> {
    const headers = { ...client.headers }
    for (const name of [...HOP_BY_HOP, 'host', ...(fault?.does === 'ignore-range' ? ['range'] : [])])
      delete headers[name]
    const options = { method: client.method ?? 'GET', headers, ...(this.#target.ca && { ca: this.#target.ca }) }
    const asking = target.protocol === 'https:' ? httpsRequest(target, options) : httpRequest(target, options)
    asking.end()
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    return answer
  }

  async #relay(answer: IncomingMessage, response: ServerResponse, exchange: Exchange, fault: Fault | undefined) {
    const { statusCode = 502, headers } = answer
    for (const name of HOP_BY_HOP) delete headers[name]
    if (fault?.does === 'lengthen') headers['content-length'] = String(Number(headers['content-length']) + fault.by)
    exchange.status = statusCode
    response.writeHead(statusCode, headers).flushHeaders()
    response.once('close', () => answer.destroy())
    await relayBody(answer, response, {
      throttle: this.#throttle,
      fault: statusCode < 300 ? fault : undefined,
      onBytes: (bytes) => this.traffic.sent(exchange, bytes),
      hang: () => this.#hang(response)
    })
  }

  #signed({ repository, reference }: Asked): string {
    const path = `/objects/${repository}/${reference}`
    return `${this.#objects.url}${path}?${SIGNATURE}=${this.#sign(path)}`
  }

  /** The status with which a request is refused; undefined when it is not. */
  #refusal(url: URL, { headers }: IncomingMessage): number | undefined {
    if (headers.authorization !== undefined) return 400
    return url.searchParams.get(SIGNATURE) === this.#sign(url.pathname) ? undefined : 403
  }

  #sign(path: string): string {
    return createHmac('sha256', this.#signingKey).update(path).digest('hex')
  }

  get #target(): Behind {
    if (this.#behind === undefined) throw new Error('nothing stands behind this proxy yet')
    return this.#behind
  }
}

type Handler = (this: FaultProxy, request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>
