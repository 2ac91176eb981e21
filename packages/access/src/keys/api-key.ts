import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { ApiKey, RepositoryPattern } from '@layermesh/trust'
import { LRUCache } from 'lru-cache'
import type { Clock, Identity, Narrowing } from '../access-types.ts'
import { unauthorized } from '../errors.ts'
import { parsePattern } from '../rules.ts'

/*
 * `lmk_ID_SECRET`: the id, 16 hex digits, finds the key; the secret, 32 random bytes in base64url, proves it. Only the
 * SHA-256 of those 32 bytes is kept: a slow hash would add nothing, since nobody can guess them.
 */

const PREFIX = 'lmk_'
const FORM = /^lmk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const ID_BYTES = 8
const SECRET_BYTES = 32

/** Where the keys are known: on every node, from what the seeds told. */
export interface ApiKeyDirectory {
  /** Undefined for a key that is not known, or was revoked. */
  find(id: string): ApiKey | undefined
}

/** A key as it is shown once, and what is kept of it. */
export interface NewApiKey {
  /** The whole of it: `lmk_…`. */
  readonly text: string
  readonly id: string
  readonly hash: Uint8Array
}

/** Makes a key. */
export function newApiKey(): NewApiKey {
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = randomBytes(SECRET_BYTES)
  return { text: `${PREFIX}${id}_${secret.toString('base64url')}`, id, hash: hashOf(secret) }
}

/** Tells whether a password or token is meant as an API key, right or wrong. */
export function looksLikeApiKey(text: string): boolean {
  return text.startsWith(PREFIX)
}

/** Checks API keys. */
export class ApiKeys {
  readonly #directory: ApiKeyDirectory
  readonly #clock: Clock
  readonly #limits = new LRUCache<ApiKey, Narrowing>({ max: 1_000 })

  constructor({ directory, clock }: { directory: ApiKeyDirectory; clock: Clock }) {
    this.#directory = directory
    this.#clock = clock
  }

  /** @throws {OciError} UNAUTHORIZED, without saying which part was wrong */
  identify(text: string): Identity {
    const [, id = '', secret = ''] = FORM.exec(text) ?? []
    const key = this.#directory.find(id)
    const shown = hashOf(Buffer.from(secret, 'base64url'))
    const fits = timingSafeEqual(shown, key?.hash ?? NO_HASH)
    if (key === undefined || !fits || !this.#isValid(key)) {
      throw unauthorized('the API key is not known, was revoked, or has expired')
    }
    return this.#identityOf(key)
  }

  /** The identity that a key stands for which was shown before; undefined when the key is not valid any more. */
  revive(id: string): Identity | undefined {
    const key = this.#directory.find(id)
    return key !== undefined && this.#isValid(key) ? this.#identityOf(key) : undefined
  }

  #isValid({ expiresAt }: ApiKey): boolean {
    return this.#clock() < expiresAt
  }

  #identityOf(key: ApiKey): Identity {
    return {
      name: key.user,
      groups: [],
      source: { kind: 'apiKey', id: key.id },
      expiresAtMs: key.expiresAt,
      limit: this.#limitOf(key)
    }
  }

  #limitOf(key: ApiKey): Narrowing {
    const known = this.#limits.get(key)
    if (known !== undefined) return known
    const limit = scopesOf(key)
    this.#limits.set(key, limit)
    return limit
  }
}

const NO_HASH = new Uint8Array(SECRET_BYTES)

function hashOf(secret: Uint8Array): Uint8Array {
  return createHash('sha256').update(secret).digest()
}

function scopesOf({ scopes }: ApiKey): Narrowing {
  const parsed: { pattern: RepositoryPattern; actions: ReadonlySet<string> }[] = scopes.map((scope) => ({
    pattern: parsePattern(scope.repositories),
    actions: new Set<string>(scope.actions)
  }))
  return {
    allows: (action, repository) =>
      parsed.some(({ pattern, actions }) => actions.has(action) && pattern.matches(repository))
  }
}
