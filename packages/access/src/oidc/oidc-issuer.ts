import { isOciError } from '@layermesh/oci'
import { type JWTPayload, jwtVerify } from 'jose'
import type { Clock, Identity } from '../access-types.ts'
import { AccessError, unauthorized } from '../errors.ts'
import type { IssuerKeys } from './issuer-keys.ts'
import { isIssuer, isPrefix } from './oidc-names.ts'

/** An identity provider whose tokens are taken. */
export interface OidcSettings {
  /** Its identifier, an https URL; http only on the loopback. */
  readonly issuer: string
  /** What tokens must be meant for (`aud`). */
  readonly audience: string
  /** @default 'sub' */
  readonly usernameClaim?: string
  /** The claim that lists groups; without it there are none. */
  readonly groupsClaim?: string
  /**
   * Stands before the names of its users and groups, and ends with its only colon: names in htpasswd files and groups
   * of the configuration have none. A certificate can hold any name, as its authority says.
   * @default 'oidc:'
   */
  readonly prefix?: string
}

/** With keys that the issuer publishes; HMACs would make a public key a secret, and `none` is no signature. */
const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'RS256', 'PS256'] as const
const LEEWAY_SECONDS = 60
/** ID tokens and access tokens; not those of a logout, which the same key signs for the same audience. */
const TYPES: readonly (string | undefined)[] = [undefined, 'jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']
const MAX_NAME_LENGTH = 255
const MAX_GROUPS = 500
const CONTROL = /\p{Cc}/u

/** Takes the JSON Web Tokens of one identity provider (OpenID Connect Core 1.0 §3.1.3.7, RFC 8725). */
export class OidcIssuer {
  readonly issuer: string
  readonly prefix: string
  readonly #settings: OidcSettings
  readonly #keys: Pick<IssuerKeys, 'find'>
  readonly #clock: Clock

  /** @throws {AccessError} RULES_INVALID */
  constructor({ keys, clock }: { keys: Pick<IssuerKeys, 'find'>; clock: Clock }, settings: OidcSettings) {
    const { issuer, prefix = 'oidc:' } = settings
    if (!isIssuer(issuer)) {
      throw new AccessError('RULES_INVALID', `the issuer ${issuer} must be an https URL without query and fragment`)
    }
    if (!isPrefix(prefix)) {
      throw new AccessError('RULES_INVALID', `the prefix of ${issuer} must be a word with a colon at its end, as corp:`)
    }
    this.issuer = issuer
    this.prefix = prefix
    this.#settings = settings
    this.#keys = keys
    this.#clock = clock
  }

  /** @throws {OciError} UNAUTHORIZED; UNAVAILABLE when the issuer's keys can't be had */
  async identify(token: string): Promise<Identity> {
    const payload = await this.#verify(token)
    const name = this.#nameIn(payload)
    if (name === undefined) throw unauthorized('the token does not tell the name of its user')
    return {
      name: this.prefix + name,
      groups: this.#groupsIn(payload),
      source: { kind: 'oidc', id: this.issuer },
      expiresAtMs: (payload.exp ?? 0) * 1000
    }
  }

  async #verify(token: string): Promise<JWTPayload> {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, this.#keys.find, {
        issuer: this.issuer,
        audience: this.#settings.audience,
        algorithms: [...ALGORITHMS],
        clockTolerance: LEEWAY_SECONDS,
        currentDate: new Date(this.#clock()),
        requiredClaims: ['exp', 'iss', 'aud']
      })
      if (TYPES.includes(protectedHeader.typ?.toLowerCase())) return payload
    } catch (error) {
      if (isOciError(error)) throw error
      throw unauthorized('the token of the identity provider does not hold', error)
    }
    throw unauthorized('the token of the identity provider is of another kind')
  }

  /** An address that the provider knows not to be verified is anybody's claim. */
  #nameIn(payload: JWTPayload): string | undefined {
    const { usernameClaim = 'sub' } = this.#settings
    if (usernameClaim === 'email' && payload.email_verified === false) return undefined
    const name = own(payload, usernameClaim)
    return isName(name) ? name : undefined
  }

  #groupsIn(payload: JWTPayload): string[] {
    const { groupsClaim } = this.#settings
    const told = groupsClaim === undefined ? [] : own(payload, groupsClaim)
    const groups: unknown[] = Array.isArray(told) ? told : [told]
    return groups
      .slice(0, MAX_GROUPS)
      .filter(isName)
      .map((group) => this.prefix + group)
  }
}

function own(payload: JWTPayload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? payload[claim] : undefined
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME_LENGTH && !CONTROL.test(value)
}
