import { request } from './http.ts'
import { RemoteModule } from './remote-module.ts'
import type { Sandbox } from './sandbox.ts'

const PROGRAM = new URL('./identity-provider-program.ts', import.meta.url)

/** An OpenID Connect provider of the test's own, which runs until the sandbox closes. */
export class IdentityProvider {
  readonly issuer: string
  readonly #clients: Readonly<Record<string, string>>

  private constructor(issuer: string, clients: Readonly<Record<string, string>>) {
    this.issuer = issuer
    this.#clients = clients
  }

  /** @param clients each with its secret */
  static async start(
    sandbox: Sandbox,
    clients: Readonly<Record<string, string>>,
    audience: string
  ): Promise<IdentityProvider> {
    const remote = await RemoteModule.start<typeof import('./identity-provider-program.ts')>(sandbox, PROGRAM)
    return new IdentityProvider(await remote.call('start', clients, audience), clients)
  }

  /** A token for a client, whose groups are `builders` (RFC 6749 §4.4). */
  async tokenFor(client: string): Promise<string> {
    const basic = Buffer.from(`${client}:${this.#clients[client]}`).toString('base64')
    const { status, body } = await request(`${this.issuer}/token`, {
      method: 'POST',
      headers: { Authorization: `Basic ${basic}` },
      body: new URLSearchParams({ grant_type: 'client_credentials' })
    })
    if (status !== 200) throw new Error(`the identity provider answered ${status}: ${body.toString()}`)
    return (JSON.parse(body.toString()) as { access_token: string }).access_token
  }
}
