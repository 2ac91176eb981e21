import { type KeyObject, randomUUID } from 'node:crypto'
import type { Repository } from '@layermesh/oci'
import { verifyingKeyOf } from '@layermesh/trust'
import { decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { Clock, Identity, IdentitySource, TokenCoverage } from '../access-types.ts'
import { unauthorized } from '../errors.ts'
import { isCatalog, meaningOf, type Scope } from '../scope.ts'

/*
 * The tokens of the mesh: JSON Web Tokens (RFC 7519, RFC 8725) signed with the Ed25519 key of the node that issues
 * them. An access token says who a client is and what it asked for; a refresh token only who it is, and is worth
 * nothing but at the token endpoint. The header holds the algorithm and the kind and nothing else, so that nothing in a
 * token can say which key to take: that follows from `iss`, the peer id of the signer, which must be trusted.
 */

/** Whom tokens are meant for; clients know it as the service. */
export const TOKEN_SERVICE = 'layermesh'

export const TOKEN_TYPES = Object.freeze({
  access: 'layermesh-access+jwt',
  refresh: 'layermesh-refresh+jwt'
})
export type TokenKind = keyof typeof TOKEN_TYPES

/** Who may sign tokens, besides the node itself: the peers that may sign tags, for what they may sign. */
export interface TokenSigners {
  maySign(peerId: string, repository: Repository): boolean
  /** Whether the peer may sign for any repository. */
  isSigner(peerId: string): boolean
}

export interface TokenAuthorityComponents {
  readonly peerId: string
  readonly signingKey: KeyObject
  readonly signers: TokenSigners
  readonly clock: Clock
}

export interface TokenAuthorityOptions {
  /** How long an access token holds. @default 300 000 */
  readonly accessValidityMs?: number
  /** How long a refresh token holds. @default 2 592 000 000, 30 days */
  readonly refreshValidityMs?: number
}

const DEFAULTS: Required<TokenAuthorityOptions> = Object.freeze({
  accessValidityMs: 300_000,
  refreshValidityMs: 2_592_000_000
})

export interface SignedToken {
  readonly text: string
  /** Both in seconds since 1970. */
  readonly issuedAt: number
  readonly expiresAt: number
}

/** What a token says that holds. */
export interface VerifiedToken {
  readonly name: string | undefined
  readonly groups: readonly string[]
  readonly source: IdentitySource
  readonly expiresAtMs: number
  /** What it was asked for, and what its signer may sign for. */
  readonly coverage: TokenCoverage
}

const ALGORITHM = 'EdDSA'
const LEEWAY_SECONDS = 60
const MAX_TOKEN_LENGTH = 16 * 1024
const MAX_KEYS = 256

const claimsSchema = z.strictObject({
  iss: z.string(),
  aud: z.literal(TOKEN_SERVICE),
  sub: z.string().min(1).max(600).optional(),
  jti: z.string().min(1).max(64),
  iat: z.int().nonnegative(),
  nbf: z.int().nonnegative(),
  exp: z.int().nonnegative(),
  src: z.strictObject({
    kind: z.enum(['anonymous', 'htpasswd', 'apiKey', 'oidc', 'certificate']),
    id: z.string().max(1_024)
  }),
  groups: z.array(z.string()).max(500),
  access: z.array(z.strictObject({ type: z.string(), name: z.string(), actions: z.array(z.string()) })).max(64)
})
type Claims = z.output<typeof claimsSchema>

/** Signs tokens with the node's key, and verifies its own and those of the peers that it trusts to sign. */
export class TokenAuthority {
  readonly #components: TokenAuthorityComponents
  readonly #options: Required<TokenAuthorityOptions>
  readonly #keys = new LRUCache<string, KeyObject>({ max: MAX_KEYS })

  constructor(components: TokenAuthorityComponents, options: TokenAuthorityOptions = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  /**
   * Signs a token for a client. It ends with the credential that the client showed, if that ends before.
   * @param access what was asked for and is allowed; nothing for a refresh token
   */
  async issue(kind: TokenKind, identity: Identity, access: readonly Scope[]): Promise<SignedToken> {
    const { clock, peerId, signingKey } = this.#components
    const { accessValidityMs, refreshValidityMs } = this.#options
    const nowMs = clock()
    const validityMs = kind === 'access' ? accessValidityMs : refreshValidityMs
    const issuedAt = Math.floor(nowMs / 1000)
    const expiresAt = Math.floor(Math.min(nowMs + validityMs, identity.expiresAtMs ?? Number.POSITIVE_INFINITY) / 1000)
    const claims = {
      iss: peerId,
      aud: TOKEN_SERVICE,
      ...(identity.name === undefined ? {} : { sub: identity.name }),
      jti: randomUUID(),
      iat: issuedAt,
      nbf: issuedAt,
      exp: expiresAt,
      src: { ...identity.source },
      groups: [...identity.groups],
      access: access.map(({ type, name, actions }) => ({ type, name, actions: [...actions] }))
    } satisfies Claims
    const header = { alg: ALGORITHM, typ: TOKEN_TYPES[kind] }
    const text = await new SignJWT(claims).setProtectedHeader(header).sign(signingKey)
    return { text, issuedAt, expiresAt }
  }

  /** @throws {OciError} UNAUTHORIZED, without saying what was wrong */
  async verify(kind: TokenKind, token: string): Promise<VerifiedToken> {
    try {
      return this.#read(await this.#claimsOf(kind, token))
    } catch (cause) {
      throw unauthorized('the token does not hold', cause)
    }
  }

  async #claimsOf(kind: TokenKind, token: string): Promise<Claims> {
    if (token.length > MAX_TOKEN_LENGTH) throw new Error('the token is too long')
    const { alg, typ, ...more } = decodeProtectedHeader(token)
    if (alg !== ALGORITHM || typ !== TOKEN_TYPES[kind] || Object.keys(more).length > 0) {
      throw new Error('the header of the token is not one of ours')
    }
    const { iss = '' } = decodeJwt(token)
    const { payload } = await jwtVerify(token, this.#keyOf(iss), {
      issuer: iss,
      audience: TOKEN_SERVICE,
      algorithms: [ALGORITHM],
      typ: TOKEN_TYPES[kind],
      clockTolerance: LEEWAY_SECONDS,
      currentDate: new Date(this.#components.clock())
    })
    return claimsSchema.parse(payload)
  }

  #keyOf(peerId: string): KeyObject {
    const { peerId: own, signers } = this.#components
    if (peerId !== own && !signers.isSigner(peerId)) throw new Error('the signer of the token is not trusted')
    const key = this.#keys.get(peerId) ?? verifyingKeyOf(peerId)
    if (key === undefined) throw new Error('the signer of the token has no key')
    this.#keys.set(peerId, key)
    return key
  }

  #read({ iss, sub, src, groups, exp, access }: Claims): VerifiedToken {
    if ((sub === undefined) !== (src.kind === 'anonymous')) throw new Error('the token does not say whose it is')
    return { name: sub, groups, source: src, expiresAtMs: exp * 1000, coverage: this.#coverageOf(iss, access) }
  }

  /**
   * Who may sign the tags of some repositories only says of clients only for these what they may change. What they may
   * read everybody says who is trusted at all: members of the mesh are trusted with content.
   */
  #coverageOf(issuer: string, access: Claims['access']): TokenCoverage {
    const { peerId, signers } = this.#components
    const granted = new Map<string, ReadonlySet<string>>()
    for (const { type, name, actions } of access) {
      if (type !== 'repository') continue
      granted.set(name, new Set([...(granted.get(name) ?? []), ...meaningOf(actions)]))
    }
    return {
      lists: access.some(isCatalog),
      allows: (action, repository) =>
        (granted.get(repository)?.has(action) ?? false) &&
        (action === 'pull' || issuer === peerId || signers.maySign(issuer, repository))
    }
  }
}

/** Who a token says has issued it, which nothing proves yet. */
export function issuerOf(token: string): string | undefined {
  try {
    const { iss } = decodeJwt(token)
    return typeof iss === 'string' ? iss : undefined
  } catch {
    return undefined
  }
}

/** Both times of a token that a seed has issued, in seconds since 1970. @throws {OciError} UNAUTHORIZED when it has none */
export function timesOf(token: string): { issuedAt: number; expiresAt: number } {
  try {
    const { iat, exp } = decodeJwt(token)
    if (iat !== undefined && exp !== undefined) return { issuedAt: iat, expiresAt: exp }
  } catch {}
  throw unauthorized('the seed gave no token that can be read')
}
