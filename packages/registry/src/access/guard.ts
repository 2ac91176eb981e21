import type { IncomingMessage } from 'node:http'
import { isOciError, OciError } from '@layermesh/oci'
import { type Caller, OPEN_CALLER, type RegistryAccess } from '../interfaces.ts'
import type { Target } from '../target.ts'
import { proofOf, schemeOf } from './client-proof.ts'
import { needOf } from './needs.ts'

export interface GuardOptions {
  readonly face: 'registry' | 'mirror'
  readonly behindTlsProxy: boolean
}

/** The client may have what it wants if it proves who it is, or shows another token. */
class ChallengeError extends OciError {
  readonly reason: 'invalid_token' | 'insufficient_scope' | undefined

  constructor(message: string, reason?: ChallengeError['reason'], cause?: unknown) {
    super('UNAUTHORIZED', message, { cause })
    this.reason = reason
  }
}

/**
 * Stands before every endpoint: finds out who a client is and whether it may. Without access control everybody may
 * everything. The mirror, and mirrored content everywhere, ask nobody for a password: classic Docker would send its
 * Docker Hub one to whoever asks, and containerd would try the same host again at once (registries.md §6).
 */
export class Guard {
  readonly #access: RegistryAccess | undefined
  readonly #options: GuardOptions

  constructor(access: RegistryAccess | undefined, options: GuardOptions) {
    this.#access = access
    this.#options = options
  }

  /** Whether there is any access control. */
  get isOpen(): boolean {
    return this.#access === undefined
  }

  /** @throws {OciError} UNAUTHORIZED, TOOMANYREQUESTS where clients are asked who they are */
  identify(request: IncomingMessage, target: Target, signal: AbortSignal): Caller | Promise<Caller> {
    return this.#access === undefined ? OPEN_CALLER : this.#identify(this.#access, request, target, signal)
  }

  /** @throws {OciError} UNAUTHORIZED, DENIED; NAME_UNKNOWN where nobody is asked who they are */
  authorize(request: IncomingMessage, target: Target, caller: Caller): void {
    if (this.#access === undefined) return
    const { route, repository } = target
    if (route.endpoint === 'base') this.requireProof(request, target, caller)
    if (repository === undefined) return
    const { anyOf } = needOf(request.method ?? '', route, target.query.get('tag') !== undefined)
    if (anyOf.some((action) => caller.may(action, repository))) return
    if (this.#asksNobody(target)) throw isPull(request) ? unknown() : denied()
    const isNarrowed = anyOf.some((action) => caller.mayWithAnotherToken?.(action, repository))
    if (isNarrowed) throw new ChallengeError('the token does not cover this', 'insufficient_scope')
    throw caller.name === undefined ? new ChallengeError('log in to do this') : denied()
  }

  /** Refuses those who showed nothing, where clients are asked who they are. @throws {OciError} UNAUTHORIZED */
  requireProof(request: IncomingMessage, target: Target, caller: Caller): void {
    if (this.#access === undefined || this.#asksNobody(target)) return
    if (caller.name === undefined && request.headers.authorization === undefined) {
      throw new ChallengeError('log in to use this registry')
    }
  }

  /** An error as this client is told it, with the headers that belong to it. */
  answerTo(
    request: IncomingMessage,
    target: Target | undefined,
    error: OciError
  ): { error: OciError; headers: Record<string, string> } {
    if (this.#access === undefined || target === undefined || this.#asksNobody(target)) {
      return { error: this.#unasked(request, target, error), headers: {} }
    }
    if (error.status !== 401) return { error, headers: {} }
    return { error, headers: { 'WWW-Authenticate': this.#challenge(this.#access, request, target, error) } }
  }

  async #identify(
    access: RegistryAccess,
    request: IncomingMessage,
    target: Target,
    signal: AbortSignal
  ): Promise<Caller> {
    const proof = proofOf(request, this.#options.behindTlsProxy)
    try {
      return await access.identify(proof, signal)
    } catch (error) {
      if (isOciError(error) && this.#asksNobody(target)) {
        return await access.identify({ ...proof, authorization: undefined, certificate: undefined }, signal)
      }
      if (!isOciError(error, 'UNAUTHORIZED')) throw error
      throw new ChallengeError(error.message, isBearer(request) ? 'invalid_token' : undefined, error)
    }
  }

  #asksNobody(target: Target): boolean {
    return this.#options.face === 'mirror' || target.isMirrored
  }

  #challenge(access: RegistryAccess, request: IncomingMessage, target: Target, error: OciError): string {
    const { route, repository, query } = target
    const place = { scheme: schemeOf(request, this.#options.behindTlsProxy), host: request.headers.host }
    const actions = needOf(request.method ?? '', route, query.get('tag') !== undefined).scope
    const reason = error instanceof ChallengeError ? error.reason : undefined
    return access.challenge(place, repository === undefined ? undefined : { repository, actions }, reason)
  }

  /**
   * Where nobody is asked who they are, 401 and 429 mean no more than that something can't be had or done here. Of
   * mirrored content so does every failure: a client that is told 404 goes to the registry itself.
   */
  #unasked(request: IncomingMessage, target: Target | undefined, error: OciError): OciError {
    const asksNobody = target !== undefined && this.#asksNobody(target)
    if (isPull(request)) {
      if (error.status === 401 || (error.status === 403 && asksNobody)) return unknown(error)
      if (target?.isMirrored && (error.status === 429 || error.status >= 500)) return unknown(error)
      return error.status === 429 ? unavailable(error) : error
    }
    if (error.status === 401) return denied(error)
    return error.status === 429 && asksNobody ? unavailable(error) : error
  }
}

function isPull({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD'
}

function isBearer({ headers }: IncomingMessage): boolean {
  return /^bearer /i.test(headers.authorization ?? '')
}

function unknown(cause?: unknown): OciError {
  return new OciError('NAME_UNKNOWN', 'the repository can not be had here', { cause })
}

function denied(cause?: OciError): OciError {
  return new OciError('DENIED', cause?.message ?? 'you may not do this in this repository', { cause })
}

function unavailable(cause: OciError): OciError {
  return new OciError('UNAVAILABLE', cause.message, { cause })
}
