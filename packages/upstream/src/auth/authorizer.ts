import { LRUCache } from 'lru-cache'
import { isUpstreamError, UpstreamError } from '../errors.ts'
import { discard, type HttpAnswer, type HttpRequest } from '../http/answer.ts'
import type { Credential, CredentialSource, UpstreamIdentity } from '../interfaces.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { basicAuthorization, parseAuthorization } from './credential-header.ts'
import { explainUnsafeRealm, safeRealm } from './realm.ts'
import type { TokenCache } from './token-cache.ts'
import { CredentialRefused, type TokenRequest } from './token-service.ts'

export interface AuthorizerComponents {
  readonly tokens: TokenCache
  /** Where the node's own credentials come from; undefined when it has none. */
  readonly credentials: CredentialSource | undefined
  readonly log: { warn(fields: object, message: string): void }
  /** One request to the registry; redirects are not followed. @throws {UpstreamError} */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>
}

export interface AuthorizerOptions {
  /** As repositories name it. */
  readonly registry: string
  readonly origin: URL
  readonly realmHosts: readonly string[]
}

/** A request that someone makes of a repository. */
export interface Asked {
  /** Name of the repository at the registry. */
  readonly name: string
  readonly as: UpstreamIdentity
}

/** `Authorization` to show; undefined: none. */
export type Shown = string | undefined

/** An answer that what was shown does not suffice for. */
export type Refusal = Pick<HttpAnswer, 'status' | 'headers'>

/** How a registry lets itself be shown who asks. */
type Way =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: URL; readonly service: string | undefined }

const MAX_SERVICE_LENGTH = 512
const MAX_SCOPE_LENGTH = 1_024
const MAX_SCOPES = 8
const MAX_REPOSITORIES = 500

/**
 * Finds what to show to a registry. Each request is an own sequence of attempts, which ends: with the credential that there is,
 * first as it was last taken, then by what the registry now asks for; for the node then with another credential of its source,
 * and at last anonymously, since registries refuse with a credential that has lapsed what they give to everybody.
 */
export class Authorizer {
  readonly #components: AuthorizerComponents
  readonly #options: AuthorizerOptions
  /** As the registry last asked. Of some answers it is missing, though they are 401 (Google). */
  #way: Way | undefined
  /** That there are no credentials is logged once, until there are some. */
  #complained = false
  #toldOfRealm = false
  /** What tokens have to grant, by repository, where the registry said so. */
  readonly #scopes = new LRUCache<string, readonly string[]>({ max: MAX_REPOSITORIES })

  constructor(components: AuthorizerComponents, options: AuthorizerOptions) {
    this.#components = components
    this.#options = options
  }

  /**
   * What to show, one after the other; `next` takes the answer that refused what was shown before.
   * @throws {UpstreamError}; the reason of `signal`
   */
  async *attempts(asked: Asked, signal: AbortSignal): AsyncGenerator<Shown, undefined, Refusal> {
    let unavailable: UpstreamError | undefined
    const onUnavailable = (error: UpstreamError) => {
      unavailable = error
    }
    for await (const credential of this.#credentials(asked, signal, onUnavailable)) {
      const isRefused = yield* this.#attemptsWith(credential, asked, signal)
      if (isRefused) this.#refused(credential, asked)
    }
    if (unavailable !== undefined) throw unavailable
  }

  /** The credentials to try; undefined stands for asking anonymously. */
  async *#credentials(
    { name, as }: Asked,
    signal: AbortSignal,
    onUnavailable: (error: UpstreamError) => void
  ): AsyncGenerator<Credential | undefined, undefined> {
    if (as === 'node') {
      const first = await this.#ownCredential(name, signal, onUnavailable)
      if (first !== undefined) yield first
      // The source may have another one after the first was refused.
      const second = first && (await this.#ownCredential(name, signal, onUnavailable))
      if (second !== undefined && !isSame(first, second)) yield second
    } else if (as !== 'anonymous') {
      // What everybody gets is not what the registry gives to this one.
      const shown = parseAuthorization(as.authorization)
      if (shown !== undefined) return yield shown
    }
    yield undefined
  }

  async #ownCredential(
    name: string,
    signal: AbortSignal,
    onUnavailable: (error: UpstreamError) => void
  ): Promise<Credential | undefined> {
    const { credentials, log } = this.#components
    const { registry } = this.#options
    try {
      const issued = await credentials?.get(registry, name, signal)
      this.#complained = false
      return issued?.credential
    } catch (error) {
      signal.throwIfAborted()
      if (!isUpstreamError(error)) throw error
      if (!this.#complained) log.warn({ registry, reason: error.message }, 'no credentials; asking anonymously')
      this.#complained = true
      onUnavailable(error)
      return undefined
    }
  }

  #refused(credential: Credential | undefined, { as }: Asked): void {
    if (credential !== undefined && as === 'node') this.#components.credentials?.refused(credential)
  }

  /** @returns whether the credential itself is refused, rather than what was asked with it */
  async *#attemptsWith(
    credential: Credential | undefined,
    { name }: Asked,
    signal: AbortSignal
  ): AsyncGenerator<Shown, boolean, Refusal> {
    try {
      const before = this.#way
      const scopes = this.#scopes.get(name) ?? [`repository:${name}:pull`]
      const { early, failure } = await this.#shownEarly(before, scopes, credential, signal)
      const refusal = yield early
      if (failure !== undefined && refusal.status !== 401) throw failure
      if (refusal.status !== 401) return isLapsed(before, early)
      const challenge = chooseChallenge(parseChallenges(refusal.headers.all('www-authenticate')))
      const way = challenge === undefined ? (before ?? (await this.#ask(signal))) : await this.#wayOf(challenge)
      if (way === undefined) return early !== undefined
      this.#way = way
      if (failure !== undefined && isSameWay(before, way)) throw failure
      if (early !== undefined) this.#drop(before, scopes, credential, early)
      const wanted = scopesOf(challenge)
      if (wanted !== undefined) this.#scopes.set(name, wanted)
      const late = await this.#shown(way, wanted ?? scopes, credential, signal)
      if (late === early) return true
      const again = yield late
      if (again.status !== 401) return isLapsed(way, late)
      if (late !== undefined) this.#drop(way, wanted ?? scopes, credential, late)
      return true
    } catch (error) {
      if (!(error instanceof CredentialRefused)) throw error
      if (credential === undefined) throw this.#unauthorized(error.message)
      return true
    }
  }

  /** What was taken before. That its token service is not to be had may be since the registry has another one by now. */
  async #shownEarly(
    way: Way | undefined,
    scopes: readonly string[],
    credential: Credential | undefined,
    signal: AbortSignal
  ): Promise<{ readonly early: Shown; readonly failure?: UpstreamError }> {
    try {
      return { early: await this.#shown(way, scopes, credential, signal) }
    } catch (error) {
      signal.throwIfAborted()
      if (!isUpstreamError(error) || error.code === 'RATE_LIMITED') throw error
      return { early: undefined, failure: error }
    }
  }

  async #shown(
    way: Way | undefined,
    scopes: readonly string[],
    credential: Credential | undefined,
    signal: AbortSignal
  ): Promise<Shown> {
    if (credential?.kind === 'registryToken') return `Bearer ${credential.token}`
    if (way === undefined) return undefined
    if (way.scheme === 'bearer') {
      const { realm, service } = way
      return `Bearer ${await this.#components.tokens.get({ realm, service, scopes, credential }, signal)}`
    }
    return credential?.kind === 'password' ? basicAuthorization(credential.username, credential.password) : undefined
  }

  #drop(way: Way | undefined, scopes: readonly string[], credential: Credential | undefined, shown: string): void {
    if (way?.scheme !== 'bearer' || credential?.kind === 'registryToken') return
    const { realm, service } = way
    const request: TokenRequest = { realm, service, scopes, credential }
    this.#components.tokens.drop(request, shown.slice('Bearer '.length))
  }

  /** Has the registry say how it wants to be shown who asks. */
  async #ask(signal: AbortSignal): Promise<Way | undefined> {
    const url = new URL('/v2/', this.#options.origin)
    const answer = await this.#components.send({ method: 'GET', url, headers: {} }, signal)
    discard(answer)
    if (answer.status !== 401) return undefined
    const challenge = chooseChallenge(parseChallenges(answer.headers.all('www-authenticate')))
    return challenge === undefined ? undefined : await this.#wayOf(challenge)
  }

  async #wayOf({ scheme, parameters }: Challenge): Promise<Way> {
    if (scheme === 'basic') return { scheme }
    const named = parameters.get('realm') ?? ''
    const realm = await safeRealm(named, this.#options)
    if (realm === undefined) throw this.#unsafeRealm(named)
    const service = parameters.get('service')
    return { scheme: 'bearer', realm, service: service?.slice(0, MAX_SERVICE_LENGTH) }
  }

  /** Told once: whoever can not pull because of it would find it nowhere else. */
  #unsafeRealm(named: string): UpstreamError {
    const { registry } = this.#options
    const message = explainUnsafeRealm(named, registry)
    if (!this.#toldOfRealm) this.#components.log.warn({ registry }, message)
    this.#toldOfRealm = true
    return new UpstreamError('UNSAFE', registry, message)
  }

  #unauthorized(reason: string): UpstreamError {
    const { registry } = this.#options
    return new UpstreamError('UNAUTHORIZED', registry, `${registry}: ${reason}`)
  }
}

/** Bearer if it can be had, else Basic. */
function chooseChallenge(challenges: readonly Challenge[]): Challenge | undefined {
  const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'))
  return bearer ?? challenges.find(({ scheme }) => scheme === 'basic')
}

/** What the registry wants the token to grant. */
function scopesOf(challenge: Challenge | undefined): readonly string[] | undefined {
  const scope = challenge?.parameters.get('scope')
  if (scope === undefined || scope.trim() === '' || scope.length > MAX_SCOPE_LENGTH) return undefined
  return scope.trim().split(/ +/).slice(0, MAX_SCOPES)
}

function isSameWay(one: Way | undefined, other: Way): boolean {
  if (one?.scheme !== 'bearer' || other.scheme !== 'bearer') return one?.scheme === other.scheme
  return one.realm.href === other.realm.href && one.service === other.service
}

/** ECR answers 403 to a password that has expired. */
function isLapsed(way: Way | undefined, shown: Shown): boolean {
  return way?.scheme === 'basic' && shown !== undefined
}

function isSame(one: Credential | undefined, other: Credential): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
