import { parseRetryAfter } from '@layermesh/oci'
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts'
import { discard, type HttpAnswer, type HttpRequest } from '../http/answer.ts'
import { readBody } from '../http/read-body.ts'
import type { Credential } from '../interfaces.ts'
import { basicAuthorization } from './credential-header.ts'

/** What a token is asked for. */
export interface TokenRequest {
  readonly realm: URL
  readonly service: string | undefined
  readonly scopes: readonly string[]
  /** Undefined: anonymously. */
  readonly credential: Exclude<Credential, { kind: 'registryToken' }> | undefined
}

/** An access token of a registry. */
export interface AccessToken {
  readonly token: string
  readonly validForMs: number
}

/** The token service did not take the credential. */
export class CredentialRefused extends Error {
  override readonly name = 'CredentialRefused'
}

export interface TokenServiceComponents {
  /** One request; redirects are not followed. @throws {UpstreamError} */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>
  /** Milliseconds since 1970. */
  now(): number
}

/** A token names all that it grants, which can be much. */
const MAX_ANSWER_BYTES = 128 * 1024
const MAX_TOKEN_LENGTH = 24 * 1024
/** RFC 6750 §2.1, and what some registries have in theirs besides. */
const TOKEN = /^[\x21-\x7e]+$/
/** docker's specification of tokens: a client takes a shorter validity for a minute. */
const MIN_VALIDITY_S = 60
const MAX_VALIDITY_S = 24 * 60 * 60
const CLIENT_ID = 'layermesh'
/** Said by services that know one of both methods only; the OAuth2 specification of distribution has clients try the other. */
const NOT_BY_THIS_METHOD = new Set([400, 404, 405])
const REFUSALS: ReadonlySet<number> = new Set([401, 403])
/** RFC 6749 §5.2 has 400 for what is wrong with a credential too. */
const REFUSALS_BY_OAUTH: ReadonlySet<number> = new Set([400, 401, 403])

/**
 * Gets tokens by Docker's token protocol: GET with Basic (distribution's docs/spec/auth/token), and where that is not
 * known, or with a refresh token, POST (docs/spec/auth/oauth).
 */
export class TokenService {
  readonly #components: TokenServiceComponents
  readonly #registry: string

  /** @param registry for messages */
  constructor(components: TokenServiceComponents, registry: string) {
    this.#components = components
    this.#registry = registry
  }

  /** @throws {CredentialRefused}, {UpstreamError} */
  async fetch(request: TokenRequest, signal: AbortSignal): Promise<AccessToken> {
    const { credential } = request
    if (credential?.kind === 'identityToken') return await this.#posted(request, credential, signal)
    const answer = await this.#get(request, credential, signal)
    if (credential === undefined || !NOT_BY_THIS_METHOD.has(answer.status)) return await this.#read(answer, REFUSALS)
    discard(answer)
    return await this.#posted(request, credential, signal)
  }

  async #posted(
    request: TokenRequest,
    credential: NonNullable<TokenRequest['credential']>,
    signal: AbortSignal
  ): Promise<AccessToken> {
    return await this.#read(await this.#post(request, credential, signal), REFUSALS_BY_OAUTH)
  }

  #get({ realm, service, scopes }: TokenRequest, credential: Password | undefined, signal: AbortSignal) {
    const url = new URL(realm)
    if (service !== undefined) url.searchParams.set('service', service)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    if (credential !== undefined) url.searchParams.set('account', credential.username)
    const headers =
      credential === undefined
        ? undefined
        : { authorization: basicAuthorization(credential.username, credential.password) }
    return this.#components.send({ method: 'GET', url, headers: { accept: 'application/json', ...headers } }, signal)
  }

  #post(
    { realm, service, scopes }: TokenRequest,
    credential: NonNullable<TokenRequest['credential']>,
    signal: AbortSignal
  ) {
    const form = new URLSearchParams({ client_id: CLIENT_ID, scope: scopes.join(' ') })
    if (service !== undefined) form.set('service', service)
    if (credential.kind === 'identityToken') {
      form.set('grant_type', 'refresh_token')
      form.set('refresh_token', credential.token)
    } else {
      form.set('grant_type', 'password')
      form.set('username', credential.username)
      form.set('password', credential.password)
    }
    const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
    return this.#components.send({ method: 'POST', url: realm, headers, body: form.toString() }, signal)
  }

  async #read(answer: HttpAnswer, refusals: ReadonlySet<number>): Promise<AccessToken> {
    const { status } = answer
    if (status === 200) return this.#parse(await readBody(answer, MAX_ANSWER_BYTES, this.#registry))
    discard(answer)
    if (status === 429) {
      const retryAfterMs = parseRetryAfter(answer.headers.get('retry-after'), this.#components.now())
      throw this.#error('RATE_LIMITED', `its token service answered ${status}`, retryAfterMs)
    }
    if (refusals.has(status)) throw new CredentialRefused(`the token service answered ${status}`)
    throw this.#error('UNAVAILABLE', `its token service answered ${status}`)
  }

  #parse(bytes: Buffer): AccessToken {
    const answer = parseObject(bytes)
    if (answer === undefined) throw this.#error('MALFORMED', 'its token service answered something other than JSON')
    const token = [answer.token, answer.access_token].find((value) => typeof value === 'string' && value !== '')
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH || !TOKEN.test(token)) {
      throw this.#error('MALFORMED', 'its token service gave no token that can be used')
    }
    const validity = typeof answer.expires_in === 'number' ? answer.expires_in : MIN_VALIDITY_S
    return { token, validForMs: Math.min(MAX_VALIDITY_S, Math.max(MIN_VALIDITY_S, validity)) * 1000 }
  }

  #error(code: UpstreamErrorCode, message: string, retryAfterMs?: number): UpstreamError {
    const details = retryAfterMs === undefined ? {} : { retryAfterMs }
    return new UpstreamError(code, this.#registry, `${this.#registry}: ${message}`, details)
  }
}

type Password = Extract<Credential, { kind: 'password' }>

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}
