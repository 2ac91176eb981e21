import type { IncomingMessage, ServerResponse } from 'node:http'
import { formOf, SECRET, serve } from './credential-fixture.ts'

interface Asked {
  readonly path: string
  readonly query: Record<string, string>
  readonly form: Record<string, string>
}

/**
 * The managed identity endpoint of a machine, the token endpoint of Microsoft Entra ID, and the exchange of a container
 * registry. Sources:
 * https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#get-a-token-using-http,
 * https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#get-a-token,
 * https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md#calling-post-oauth2exchange-to-get-an-acr-refresh-token
 */
export class FakeAzure {
  origin = ''
  /** In ms since 1970. */
  expiresAt = 0
  fails: 'entra' | 'exchange' | 'silence' | undefined
  readonly asked: Asked[] = []

  static async start(): Promise<FakeAzure> {
    const azure = new FakeAzure()
    azure.origin = await serve((request, response) => void azure.#answer(request, response))
    return azure
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams } = new URL(request.url ?? '/', this.origin)
    const form = await formOf(request)
    this.asked.push({ path, query: Object.fromEntries(searchParams), form })
    response.setHeader('content-type', 'application/json')
    const send = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body))
    if (this.fails === 'silence') return
    if (path === '/metadata/identity/oauth2/token') {
      if (request.headers.metadata !== 'true') send(400, { error: 'invalid_request' })
      else send(200, { access_token: 'machine', expires_in: '86399', token_type: 'Bearer' })
    } else if (path === '/tenant-1/oauth2/v2.0/token') {
      const description = `AADSTS7000215: Invalid client secret provided: ${SECRET}`
      if (this.fails === 'entra') send(401, { error: 'invalid_client', error_description: description })
      else send(200, { access_token: 'application', expires_in: 3_599, token_type: 'Bearer' })
    } else if (path === '/oauth2/exchange' && request.method === 'POST') {
      const code = { errors: [{ code: 'UNAUTHORIZED', message: SECRET }] }
      if (this.fails === 'exchange') send(401, code)
      else send(200, { refresh_token: this.#refreshToken(form.access_token) })
    } else send(404, {})
  }

  /** Of the form of the real one, whose claims are read but not checked. */
  #refreshToken(of: string | undefined): string {
    const part = (content: object) => Buffer.from(JSON.stringify(content)).toString('base64url')
    return `${part({ alg: 'RS256' })}.${part({ exp: this.expiresAt / 1_000, of })}.signature`
  }
}
