import { OciError } from '@layermesh/oci'
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import type { AccessLog, Clock } from '../access-types.ts'

export interface IssuerKeysComponents {
  /** Fetches JSON without following redirects, bounded in size. */
  readonly fetchJson: (url: URL, signal: AbortSignal) => Promise<unknown>
  readonly clock: Clock
  readonly log: AccessLog
}

export interface IssuerKeysOptions {
  /** Age at which keys are fetched anew. @default 600 000 */
  readonly maxAgeMs?: number
  /** Age up to which keys go on when the issuer does not answer. @default 86 400 000 */
  readonly maxStaleMs?: number
  /** Time between two attempts to fetch, whether they succeed or not. @default 30 000 */
  readonly cooldownMs?: number
  /** Deadline of a fetch of both documents. @default 5 000 */
  readonly timeoutMs?: number
}

const DEFAULTS: Required<IssuerKeysOptions> = Object.freeze({
  maxAgeMs: 600_000,
  maxStaleMs: 86_400_000,
  cooldownMs: 30_000,
  timeoutMs: 5_000
})

const MAX_KEYS = 100
const discoverySchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) })
const keySetSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(MAX_KEYS) })

/** The keys at one time. */
interface Fetched {
  readonly find: JWTVerifyGetKey
  readonly atMs: number
}

/**
 * The keys of an OpenID Connect issuer, found by discovery (OpenID Connect Discovery 1.0 §4). They are fetched when they
 * are first needed, when they are old, and when a token names one that is not among them; never more often than the
 * cooldown, so that tokens which name keys that nobody has cause no fetches. When the issuer does not answer, those from
 * before go on for a bounded time.
 */
export class IssuerKeys {
  readonly #components: IssuerKeysComponents
  readonly #options: Required<IssuerKeysOptions>
  readonly #issuer: string
  #fetched: Fetched | undefined
  #fetching: Promise<void> | undefined
  #attemptedAtMs = Number.NEGATIVE_INFINITY

  /** @param issuer its identifier: the URL as it says it itself */
  constructor(issuer: string, components: IssuerKeysComponents, options: IssuerKeysOptions = {}) {
    this.#issuer = issuer
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  /**
   * The key that a token names, for `jwtVerify`.
   * @throws {JOSEError} when there is none; {OciError} UNAVAILABLE when no keys could be fetched
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const { maxAgeMs } = this.#options
    if (this.#fetched === undefined || this.#ageMs(this.#fetched) > maxAgeMs) await this.#refresh()
    try {
      return await this.#usable().find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await this.#refresh())) throw error
      return await this.#usable().find(header, token)
    }
  }

  #usable(): Fetched {
    if (this.#fetched !== undefined && this.#ageMs(this.#fetched) <= this.#options.maxStaleMs) return this.#fetched
    throw new OciError('UNAVAILABLE', `the identity provider ${this.#issuer} can not be reached; try again later`)
  }

  #ageMs({ atMs }: Fetched): number {
    return this.#components.clock() - atMs
  }

  /** Fetches, unless that was tried lately. @returns whether it was tried; a failure leaves what was there */
  async #refresh(): Promise<boolean> {
    if (this.#fetching === undefined) {
      if (this.#components.clock() - this.#attemptedAtMs < this.#options.cooldownMs) return false
      this.#attemptedAtMs = this.#components.clock()
      this.#fetching = this.#fetch().finally(() => {
        this.#fetching = undefined
      })
    }
    await this.#fetching
    return true
  }

  async #fetch(): Promise<void> {
    const signal = AbortSignal.timeout(this.#options.timeoutMs)
    try {
      const discovered = discoverySchema.parse(await this.#components.fetchJson(discoveryUrl(this.#issuer), signal))
      const keys = keySetSchema.parse(await this.#components.fetchJson(this.#keysUrl(discovered), signal))
      const find = createLocalJWKSet(keys as JSONWebKeySet)
      this.#fetched = { find, atMs: this.#components.clock() }
    } catch (err) {
      this.#components.log.warn({ issuer: this.#issuer, err }, 'the keys of the identity provider can not be fetched')
    }
  }

  /** Keys come from where TLS vouches for them; a provider on the loopback does without. */
  #keysUrl({ issuer, jwks_uri }: z.output<typeof discoverySchema>): URL {
    if (issuer !== this.#issuer)
      throw new Error(`the provider calls itself ${issuer.slice(0, 200)}, not ${this.#issuer}`)
    const url = new URL(jwks_uri)
    if (url.protocol === 'https:' || url.origin === new URL(this.#issuer).origin) return url
    throw new Error(`the provider has its keys at ${url.href.slice(0, 200)}, which is not https`)
  }
}

function discoveryUrl(issuer: string): URL {
  return new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
}
