import { unlessAborted } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { Credential } from '../interfaces.ts'
import type { Fingerprint } from './fingerprint.ts'
import { type AccessToken, CredentialRefused, type TokenRequest } from './token-service.ts'

export interface TokenCacheComponents {
  /** @throws {CredentialRefused}, {UpstreamError} */
  fetch(request: TokenRequest, signal: AbortSignal): Promise<AccessToken>
  readonly fingerprint: Fingerprint
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface TokenCacheOptions {
  readonly maxTokens: number
  /** For fetching one token. */
  readonly fetchTimeoutMs: number
  /** So long before its end a token counts no more. */
  readonly marginMs: number
  /** For so long a token service that refused a credential is not shown it again. */
  readonly refusedMs: number
}

interface Held {
  /** A token, or why there is none. */
  readonly token: string | CredentialRefused
  readonly until: number
}

/**
 * Tokens by realm, service, scopes and account, each fetched once however many wait for it. The account is a fingerprint of
 * the credential: tokens of different credentials never mix.
 */
export class TokenCache {
  readonly #components: TokenCacheComponents
  readonly #options: TokenCacheOptions
  readonly #held: LRUCache<string, Held>
  readonly #fetching = new Map<string, Promise<string>>()

  constructor(components: TokenCacheComponents, options: TokenCacheOptions) {
    this.#components = components
    this.#options = options
    this.#held = new LRUCache({ max: options.maxTokens })
  }

  /** @throws {CredentialRefused}, {UpstreamError}; the reason of `signal` */
  async get(request: TokenRequest, signal: AbortSignal): Promise<string> {
    const key = this.#keyOf(request)
    const held = this.#held.get(key)
    if (held !== undefined && held.until > this.#components.now()) {
      if (held.token instanceof CredentialRefused) throw held.token
      return held.token
    }
    return await unlessAborted(this.#fetching.get(key) ?? this.#begin(key, request), signal)
  }

  /** The registry did not take this token: it is not given again. */
  drop(request: TokenRequest, token: string): void {
    const key = this.#keyOf(request)
    if (this.#held.peek(key)?.token === token) this.#held.delete(key)
  }

  /** Fetching goes on when one of those who wait for it goes away. */
  #begin(key: string, request: TokenRequest): Promise<string> {
    const { fetchTimeoutMs, marginMs, refusedMs } = this.#options
    const { fetch, now } = this.#components
    const fetching = fetch(request, AbortSignal.timeout(fetchTimeoutMs))
      .then(({ token, validForMs }) => {
        this.#held.set(key, { token, until: now() + validForMs - marginMs })
        return token
      })
      .catch((error: unknown) => {
        if (error instanceof CredentialRefused) this.#held.set(key, { token: error, until: now() + refusedMs })
        throw error
      })
      .finally(() => this.#fetching.delete(key))
    this.#fetching.set(key, fetching)
    fetching.catch(() => {})
    return fetching
  }

  #keyOf({ realm, service, scopes, credential }: TokenRequest): string {
    return JSON.stringify([realm.href, service ?? null, scopes.toSorted(), this.#accountOf(credential)])
  }

  #accountOf(credential: Credential | undefined): string | null {
    if (credential === undefined) return null
    const { fingerprint } = this.#components
    if (credential.kind !== 'password') return fingerprint.of(credential.kind, credential.token)
    return fingerprint.of(credential.kind, credential.username, credential.password)
  }
}
