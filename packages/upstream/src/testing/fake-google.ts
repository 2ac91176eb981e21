import { generateKeyPairSync } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { formOf, SECRET, serve } from './credential-fixture.ts'

/**
 * Google's metadata server (https://cloud.google.com/compute/docs/access/authenticate-workloads and
 * https://cloud.google.com/compute/docs/metadata/querying-metadata) and its token endpoint for service accounts
 * (https://developers.google.com/identity/protocols/oauth2/service-account#httprest).
 */
export class FakeGoogle {
  origin = ''
  token = 'token 1'
  fails = false
  readonly asked: { path: string; flavor: unknown; form: Record<string, string> }[] = []

  static async start(): Promise<FakeGoogle> {
    const google = new FakeGoogle()
    google.origin = await serve((request, response) => void google.#answer(request, response))
    return google
  }

  /** The key of a service account, in the form of the file that Google Cloud gives. */
  keyFile(): string {
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' }
    })
    return JSON.stringify({
      type: 'service_account',
      project_id: 'project',
      private_key_id: SECRET,
      private_key: privateKey,
      client_email: 'puller@project.iam.gserviceaccount.com',
      client_id: '1',
      token_uri: `${this.origin}/token`
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?', 1)[0] ?? ''
    const flavor = request.headers['metadata-flavor']
    this.asked.push({ path, flavor, form: await formOf(request) })
    response.setHeader('content-type', 'application/json')
    response.setHeader('metadata-flavor', 'Google')
    const isMetadata = path.startsWith('/computeMetadata/')
    if (isMetadata && flavor !== 'Google') response.writeHead(403).end()
    else if (path === '/computeMetadata/v1/instance') response.end('{}')
    else if (this.fails)
      response.writeHead(400).end(JSON.stringify({ error: 'invalid_grant', error_description: SECRET }))
    else if (isMetadata && !path.endsWith('/service-accounts/default/token')) response.writeHead(404).end()
    else response.end(JSON.stringify({ access_token: this.token, expires_in: 3_599, token_type: 'Bearer' }))
  }
}
