import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import Provider from 'oidc-provider'

/*
 * An OpenID Connect provider, run in a process of its own. It gives whoever knows the secret of a client a token that
 * stands for this client, as build servers are given theirs.
 */

/** Starts the provider. @returns its issuer, where it is */
export async function start(clients: Readonly<Record<string, string>>, audience: string): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  server.on('request', new Provider(issuer, configure(clients, audience)).callback())
  return issuer
}

function configure(clients: Readonly<Record<string, string>>, audience: string) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const resource = {
    scope: '',
    audience,
    accessTokenFormat: 'jwt',
    accessTokenTTL: 600,
    jwt: { sign: { alg: 'ES256' } }
  }
  return {
    clients: Object.entries(clients).map(([client_id, client_secret]) => ({
      client_id,
      client_secret,
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: []
    })),
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'test' }] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:${audience}`,
        getResourceServerInfo: () => resource
      }
    },
    extraTokenClaims: () => ({ groups: ['builders'] })
  }
}
