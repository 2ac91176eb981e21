import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { CertificateFiles } from '../certificates.ts'

/** docker-registry 2.8 takes a token for so long after it has expired (registry/auth/token/token.go: Leeway). */
const LEEWAY_SECONDS = 60
/** What clients assume at least, whatever a token says (distribution-spec, token authentication: `expires_in`). */
const SAID_LIFETIME_SECONDS = 60

export interface Account {
  readonly username: string
  readonly password: string
}

export interface TokenServiceOptions {
  readonly issuer: string
  readonly audience: string
  readonly account: Account
  /** Which repositories everybody may pull. */
  isPublic(repository: string): boolean
}

interface TokenAnswer {
  readonly status: number
  readonly body: string
}

/**
 * Issues the tokens that docker-registry checks against its `rootcertbundle` (distribution's documents: "Token
 * Authentication Specification" and "…Implementation"): who shows the account may pull everything, all others what is public.
 */
export class TokenService {
  /** How long a token is really taken, whatever it says; of one second most is over before it is shown. */
  lifetimeSeconds = SAID_LIFETIME_SECONDS
  readonly #options: TokenServiceOptions
  readonly #key: ReturnType<typeof createPrivateKey>
  readonly #chain: readonly string[]

  private constructor(options: TokenServiceOptions, key: string, certificate: string) {
    this.#options = options
    this.#key = createPrivateKey(key)
    this.#chain = [new X509Certificate(certificate).raw.toString('base64')]
  }

  /** @param signer issued by the authority that docker-registry is told to trust */
  static async create(signer: CertificateFiles, options: TokenServiceOptions): Promise<TokenService> {
    return new TokenService(options, await readFile(signer.key, 'utf8'), await readFile(signer.certificate, 'utf8'))
  }

  /**
   * @param query of the URL, or the form of an OAuth2 request
   * @param authorization header of the request
   */
  answer(query: URLSearchParams, authorization: string | undefined): TokenAnswer {
    const known = this.#isKnown(query, authorization)
    if (known === false) return { status: 401, body: JSON.stringify({ errors: [{ code: 'UNAUTHORIZED' }] }) }
    const access = query
      .getAll('scope')
      .flatMap((scopes) => scopes.split(' '))
      .flatMap((scope) => this.#grant(scope, known === true))
    const token = this.#sign(access)
    const answer = {
      token,
      access_token: token,
      expires_in: SAID_LIFETIME_SECONDS,
      issued_at: new Date().toISOString()
    }
    return { status: 200, body: JSON.stringify(answer) }
  }

  /** Undefined when nobody says who asks. */
  #isKnown(query: URLSearchParams, authorization: string | undefined): boolean | undefined {
    const { username, password } = this.#options.account
    if (query.get('grant_type') === 'password') {
      return query.get('username') === username && query.get('password') === password
    }
    if (authorization === undefined) return undefined
    return authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
  }

  #grant(scope: string, isKnown: boolean) {
    const [, name] = /^repository:(.+):[a-z,]+$/.exec(scope) ?? []
    if (name === undefined || !(isKnown || this.#options.isPublic(name))) return []
    return [{ type: 'repository', name, actions: ['pull'] }]
  }

  #sign(access: readonly unknown[]): string {
    const now = Math.floor(Date.now() / 1000)
    const header = { typ: 'JWT', alg: 'ES256', x5c: this.#chain }
    const claims = {
      iss: this.#options.issuer,
      aud: this.#options.audience,
      sub: '',
      jti: randomUUID(),
      iat: now,
      nbf: now - LEEWAY_SECONDS,
      exp: now + this.lifetimeSeconds - LEEWAY_SECONDS,
      access
    }
    const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    const signature = sign('sha256', Buffer.from(signed), { key: this.#key, dsaEncoding: 'ieee-p1363' })
    return `${signed}.${signature.toString('base64url')}`
  }
}
