import { OciError } from '@layermesh/oci'
import {
  ANONYMOUS,
  type ClientProof,
  type Clock,
  type Identity,
  type IdentitySource,
  type Narrowing,
  type RepositoryAction
} from './access-types.ts'
import { type Credentials, parseAuthorization } from './authorization.ts'
import { type CertificateName, identifyCertificate } from './certificate.ts'
import { TooManyLoginsError, unauthorized } from './errors.ts'
import { type ApiKeys, looksLikeApiKey } from './keys/api-key.ts'
import type { OidcIssuer } from './oidc/oidc-issuer.ts'
import type { Htpasswd } from './passwords/htpasswd.ts'
import type { PasswordChecker } from './passwords/password-checker.ts'
import { issuerOf, type TokenAuthority, type VerifiedToken } from './tokens/token-authority.ts'

/** A log-in that was tried, for the audit log. */
export interface LoginEvent {
  readonly result: 'success' | 'failure' | 'throttled'
  readonly source: IdentitySource['kind']
  /** Of a success who it is; of a failure who it was said to be, if anybody. */
  readonly name: string | undefined
  readonly address: string
}

export interface AuthenticatorComponents {
  readonly users: Pick<Htpasswd, 'fingerprint'> | undefined
  readonly passwords: Pick<PasswordChecker, 'check'> | undefined
  readonly apiKeys: ApiKeys
  readonly issuers: readonly OidcIssuer[]
  /** Which part of a client certificate is a name; undefined when certificates tell of nobody. */
  readonly certificateName: CertificateName | undefined
  readonly tokens: Pick<TokenAuthority, 'verify'>
  /** Whether a seed judges anew what clients change here, as on every node that is none. */
  readonly passesOn: boolean
  readonly clock: Clock
  readonly onLogin?: (event: LoginEvent) => void
}

const PULLS_ONLY: Narrowing = Object.freeze({ allows: (action: RepositoryAction) => action === 'pull' })
const JWT = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

/** Finds out who a client is, by whatever it shows. */
export class Authenticator {
  readonly #components: AuthenticatorComponents

  constructor(components: AuthenticatorComponents) {
    this.#components = components
  }

  /**
   * Who shows this at the registry: a credential, or an access token, which narrows what its user may.
   * @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNAVAILABLE (the identity provider)
   */
  async identify(proof: ClientProof): Promise<Identity> {
    const credentials = parseAuthorization(proof.authorization)
    if (credentials?.scheme !== 'bearer' || !this.#isOwnToken(credentials.token)) {
      return await this.#identifyBy(credentials, proof)
    }
    const token = await this.#components.tokens.verify('access', credentials.token)
    const identity = await this.#revive(token, false)
    return { ...identity, token: token.coverage }
  }

  /**
   * Who shows this at the token endpoint: a credential or a refresh token. No access token: that would make a narrow
   * one wide, and one that ends last for ever.
   * @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNAVAILABLE (the identity provider)
   */
  async identifyForToken(proof: ClientProof): Promise<Identity> {
    const credentials = parseAuthorization(proof.authorization)
    if (credentials?.scheme === 'bearer' && this.#isOwnToken(credentials.token)) {
      return await this.#revive(await this.#components.tokens.verify('refresh', credentials.token), true)
    }
    const identity = await this.#identifyBy(credentials, proof)
    if (identity.name !== undefined) this.#report('success', identity.source.kind, identity.name, proof.address)
    return identity
  }

  /** What is no token of an identity provider here can only be meant as one of the mesh. */
  #isOwnToken(token: string): boolean {
    return !looksLikeApiKey(token) && this.#issuerOf(token) === undefined
  }

  async #identifyBy(credentials: Credentials | undefined, { certificate, address }: ClientProof): Promise<Identity> {
    const { certificateName } = this.#components
    if (credentials === undefined) {
      if (certificate === undefined || certificateName === undefined) return ANONYMOUS
      return await this.#reporting('certificate', undefined, address, () =>
        this.#limited(this.#unexpired(identifyCertificate(certificate, certificateName)))
      )
    }
    const user = credentials.scheme === 'basic' ? credentials.user : undefined
    const secret = credentials.scheme === 'basic' ? credentials.password : credentials.token
    if (looksLikeApiKey(secret)) {
      return await this.#reporting('apiKey', user, address, () => this.#components.apiKeys.identify(secret))
    }
    const issuer = this.#issuerOf(secret)
    if (issuer !== undefined) return await this.#reporting('oidc', user, address, () => issuer.identify(secret))
    return await this.#reporting('htpasswd', user, address, () => this.#byPassword(user, secret, address))
  }

  async #byPassword(user: string | undefined, password: string, address: string): Promise<Identity> {
    const { passwords } = this.#components
    if (user === undefined || passwords === undefined) throw unauthorized('wrong user name or password')
    const id = await passwords.check(user, password, address)
    return { name: user, groups: [], source: { kind: 'htpasswd', id }, expiresAtMs: undefined }
  }

  #issuerOf(token: string): OidcIssuer | undefined {
    if (!JWT.test(token)) return undefined
    const claimed = issuerOf(token)
    return this.#components.issuers.find(({ issuer }) => issuer === claimed)
  }

  /**
   * Whom a token of ours stands for now: its source is asked again, so that what was revoked there is revoked here.
   * @param strict whether a source that this node does not have, such as the seed's users, is not taken on trust
   */
  async #revive({ name, groups, source, expiresAtMs }: VerifiedToken, strict: boolean): Promise<Identity> {
    if (source.kind === 'anonymous' || name === undefined) return ANONYMOUS
    if (source.kind === 'apiKey') {
      const identity = this.#components.apiKeys.revive(source.id)
      if (identity?.name === name) return identity
    } else if (await this.#stillHolds(name, source, strict)) {
      return this.#limited({ name, groups, source, expiresAtMs })
    }
    throw unauthorized('the credential that this token was given for holds no more')
  }

  async #stillHolds(name: string, { kind, id }: IdentitySource, strict: boolean): Promise<boolean> {
    const { users, issuers, certificateName } = this.#components
    switch (kind) {
      case 'htpasswd':
        return users === undefined ? !strict : (await users.fingerprint(name)) === id
      case 'oidc':
        return issuers.some(({ issuer, prefix }) => issuer === id && name.startsWith(prefix))
      case 'certificate':
        return certificateName !== undefined
      default:
        return false
    }
  }

  /** Where changes are passed on to a seed, a certificate allows none: it can't be shown there. */
  #limited(identity: Identity): Identity {
    const isLimited = identity.source.kind === 'certificate' && this.#components.passesOn
    return isLimited ? { ...identity, limit: PULLS_ONLY } : identity
  }

  #unexpired(identity: Identity): Identity {
    const { expiresAtMs } = identity
    if (expiresAtMs === undefined || this.#components.clock() < expiresAtMs) return identity
    throw unauthorized('the client certificate has expired')
  }

  async #reporting(
    source: IdentitySource['kind'],
    user: string | undefined,
    address: string,
    identify: () => Identity | Promise<Identity>
  ): Promise<Identity> {
    try {
      return await identify()
    } catch (error) {
      if (error instanceof TooManyLoginsError) this.#report('throttled', source, user, address)
      else if (error instanceof OciError && error.code === 'UNAUTHORIZED')
        this.#report('failure', source, user, address)
      throw error
    }
  }

  #report(result: LoginEvent['result'], source: LoginEvent['source'], name: string | undefined, address: string): void {
    this.#components.onLogin?.({ result, source, name, address })
  }
}
