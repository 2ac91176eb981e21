import { type CryptoKey, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose'

export const ISSUER = 'https://id.example/realm'

export interface FakeKey {
  readonly kid: string
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly publicKey: CryptoKey
}

export async function makeKey(kid: string, alg = 'ES256'): Promise<FakeKey> {
  return { kid, alg, ...(await generateKeyPair(alg, { extractable: true })) }
}

/** An identity provider in memory: what it answers to whoever asks for JSON. */
export class FakeProvider {
  readonly asked: string[] = []
  discovery: Record<string, unknown> = { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` }
  keys: FakeKey[] = []
  isDown = false

  readonly fetchJson = async (url: URL): Promise<unknown> => {
    this.asked.push(url.href)
    if (this.isDown) throw new Error('connection refused')
    if (url.href === `${ISSUER}/.well-known/openid-configuration`) return this.discovery
    if (url.href !== this.discovery.jwks_uri) throw new Error(`nothing is at ${url.href}`)
    const keys = this.keys.map(async ({ kid, alg, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, alg }))
    return { keys: await Promise.all(keys) }
  }
}

/** Signs a token; `claims` may leave out anything. */
export async function signToken(
  { kid, alg, privateKey }: FakeKey,
  claims: Record<string, unknown>,
  header: Partial<JWTHeaderParameters> = {}
): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
}
