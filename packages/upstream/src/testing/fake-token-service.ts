import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Interceptor } from './fake-registry.ts'
import { type LocalServer, startServer } from './local-server.ts'

/** A request for a token. */
export interface TokenSeen {
  readonly method: string
  /** Of the query, or of the form. */
  readonly parameters: URLSearchParams
  readonly authorization: string | undefined
}

/** A token service in front of a registry: who shows a token that it gave may go on. */
export class FakeTokenService {
  readonly seen: TokenSeen[] = []
  readonly given: string[] = []
  /** What `expires_in` says; undefined: nothing. */
  validForS: number | undefined = 300
  /** Passwords by user; who shows none is given a token too. */
  readonly users = new Map<string, string>()
  /** Answers in place of the service. */
  intercept: (request: IncomingMessage, response: ServerResponse) => unknown = () => undefined
  readonly server: LocalServer

  private constructor(server: LocalServer) {
    this.server = server
  }

  static async start(): Promise<FakeTokenService> {
    let service: FakeTokenService | undefined
    const server = await startServer((request, response) => service?.answer(request, response))
    service = new FakeTokenService(server)
    return service
  }

  /** `http://127.0.0.1:PORT/token`. */
  get realm(): string {
    return `${this.server.url}/token`
  }

  /** Has a registry refuse all that shows no token of this service. */
  guard(scope?: string): Interceptor {
    return ({ headers }, response) => {
      if (this.given.some((token) => headers.authorization === `Bearer ${token}`)) return undefined
      const told = scope === undefined ? '' : `,scope="${scope}"`
      response.setHeader('www-authenticate', `Bearer realm="${this.realm}",service="registry"${told}`)
      response.writeHead(401).end()
      return true
    }
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request
    const parameters =
      method === 'POST' ? new URLSearchParams(await text(request)) : new URL(url, this.server.url).searchParams
    this.seen.push({ method, parameters, authorization: headers.authorization })
    if (this.intercept(request, response) === true) return
    if (!this.#knows(headers.authorization)) {
      response.writeHead(401).end()
      return
    }
    const token = `token-${this.given.length + 1}`
    this.given.push(token)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ token, ...(this.validForS === undefined ? {} : { expires_in: this.validForS }) }))
  }

  #knows(authorization: string | undefined): boolean {
    if (authorization === undefined) return true
    const shown = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString('utf8')
    const colon = shown.indexOf(':')
    return this.users.get(shown.slice(0, colon)) === shown.slice(colon + 1)
  }
}
