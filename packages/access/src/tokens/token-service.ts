import { isOciError, OciError, type Repository } from '@layermesh/oci'
import type { ClientProof, Identity, RepositoryAction } from '../access-types.ts'
import type { Authenticator } from '../authenticator.ts'
import { parseAuthorization } from '../authorization.ts'
import { looksLikeApiKey } from '../keys/api-key.ts'
import type { LoginAttempt, LoginThrottle } from '../passwords/login-throttle.ts'
import { isAllowed } from '../rights.ts'
import type { AccessRules } from '../rules.ts'
import { formatScope, grantedActions, isCatalog, parseScopes, type Scope } from '../scope.ts'
import { type SignedToken, type TokenAuthority, timesOf } from './token-authority.ts'

/** What a seed is asked for in the name of a client. */
export interface SeedRequest {
  /** What the client showed. */
  readonly authorization: string
  /** As the token protocol has them; {@link OFFLINE_ACCESS} alone asks for a refresh token. */
  readonly scopes: readonly string[]
  /** The client's address. */
  readonly address: string
}

/**
 * Has another seed judge a credential, so that the token holds there too.
 * @returns the token; undefined when that is not needed, or no seed answers
 * @throws {OciError} what the seed answered instead; UNSUPPORTED when it gives no such tokens
 */
export type AskSeed = (request: SeedRequest, signal: AbortSignal) => Promise<string | undefined>

/** The scope that asks for a refresh token (OpenID Connect Core 1.0 §11). */
export const OFFLINE_ACCESS = 'offline_access'

export interface TokenServiceComponents {
  readonly authenticator: Pick<Authenticator, 'identifyForToken'>
  readonly tokens: Pick<TokenAuthority, 'issue'>
  readonly rules: () => AccessRules
  readonly throttle: LoginThrottle
  /** The repository that the name in a scope means; undefined for none. */
  readonly repositoryOf: (name: string) => Repository | undefined
  readonly askSeed: AskSeed
  /** Whether this node may sign tags. */
  readonly isSeed: boolean
}

/**
 * Gives clients tokens for what they prove and may. Whoever can't sign what a client wants to change has a seed do it
 * that can, and does it itself, by its own configuration, when none answers: such a token holds at this node alone.
 */
export class TokenService {
  readonly #components: TokenServiceComponents

  constructor(components: TokenServiceComponents) {
    this.#components = components
  }

  /**
   * An access token for what is both asked for and allowed, which may be nothing.
   * @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNAVAILABLE
   */
  async issueAccess(proof: ClientProof, scopes: readonly Scope[], signal: AbortSignal): Promise<SignedToken> {
    return (await this.#askSeed(proof, scopes.map(formatScope), signal)) ?? (await this.#issueAccess(proof, scopes))
  }

  /**
   * A refresh token, for sources that can be asked later whether they still hold: passwords and API keys. Only a seed
   * gives them: others would give what is worth nothing once a seed is back.
   * @returns undefined for others, and when no seed answers
   * @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNAVAILABLE
   */
  async issueRefresh(proof: ClientProof, signal: AbortSignal): Promise<SignedToken | undefined> {
    if (!this.#components.isSeed) return await this.#askSeed(proof, [OFFLINE_ACCESS], signal)
    const identity = await this.#components.authenticator.identifyForToken(proof)
    const { kind } = identity.source
    if (kind !== 'htpasswd' && kind !== 'apiKey') return undefined
    return await this.#components.tokens.issue('refresh', identity, [])
  }

  /**
   * Answers another node that asks this seed in the name of one of its clients. It asks no further seed.
   * @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS, UNAVAILABLE
   */
  async answer({ authorization, scopes, address }: SeedRequest, signal: AbortSignal): Promise<string> {
    const proof: ClientProof = { authorization, certificate: undefined, address }
    if (!scopes.includes(OFFLINE_ACCESS)) return (await this.#issueAccess(proof, parseScopes(scopes))).text
    const token = await this.issueRefresh(proof, signal)
    if (token === undefined) throw new OciError('UNSUPPORTED', 'there are no refresh tokens for this credential')
    return token.text
  }

  async #issueAccess(proof: ClientProof, scopes: readonly Scope[]): Promise<SignedToken> {
    const identity = await this.#components.authenticator.identifyForToken(proof)
    const rules = this.#components.rules()
    // Providers may tell of hundreds of groups; a token must fit into a header.
    const groups = identity.groups.filter((group) => rules.names(group))
    return await this.#components.tokens.issue('access', { ...identity, groups }, this.#granted(identity, scopes))
  }

  #granted(identity: Identity, scopes: readonly Scope[]): Scope[] {
    const rules = this.#components.rules()
    return scopes.flatMap((scope) => {
      const { type, name, actions } = scope
      if (isCatalog(scope)) return [scope]
      const repository = type === 'repository' ? this.#components.repositoryOf(name) : undefined
      if (repository === undefined) return []
      const may = (action: RepositoryAction) => isAllowed(rules, identity, action, repository)
      const granted = grantedActions(actions, may)
      return granted.length === 0 ? [] : [{ type, name: repository, actions: granted }]
    })
  }

  /** Passwords that the seed judges are counted here too: it knows a client's address only by the word of this node. */
  async #askSeed(proof: ClientProof, scopes: readonly string[], signal: AbortSignal): Promise<SignedToken | undefined> {
    const { authorization, address } = proof
    const { askSeed } = this.#components
    if (authorization === undefined) return undefined
    const attempt = this.#attempt(authorization, address)
    try {
      const text = await askSeed({ authorization, scopes, address }, signal)
      if (text === undefined) return undefined
      const token = { text, ...timesOf(text) }
      attempt?.succeeded()
      return token
    } catch (error) {
      if (isOciError(error, 'UNSUPPORTED')) return undefined
      if (isOciError(error, 'UNAUTHORIZED')) attempt?.failed()
      throw error
    } finally {
      attempt?.abandoned()
    }
  }

  #attempt(authorization: string, address: string): LoginAttempt | undefined {
    const credentials = parseAuthorization(authorization)
    if (credentials?.scheme !== 'basic' || looksLikeApiKey(credentials.password)) return undefined
    return this.#components.throttle.begin(address, credentials.user)
  }
}
