import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../access-types.ts'
import { TooManyLoginsError, unauthorized } from '../errors.ts'
import type { BcryptThread } from './bcrypt-thread.ts'
import { fingerprintOf, type Htpasswd } from './htpasswd.ts'
import { costOf, type PasswordTable } from './htpasswd-file.ts'
import type { LoginAttempt, LoginThrottle } from './login-throttle.ts'

export interface PasswordCheckerOptions {
  /** How long a password that was right is not computed again. @default 300 000 */
  readonly rememberMs?: number
  /** Passwords remembered at most. @default 1 000 */
  readonly maxRemembered?: number
  /** What a client is told to wait when too many others wait already. @default 2 000 */
  readonly busyDelayMs?: number
}

const DEFAULTS: Required<PasswordCheckerOptions> = Object.freeze({
  rememberMs: 300_000,
  maxRemembered: 1_000,
  busyDelayMs: 2_000
})

/** The cost of the hash that stands in for one when there are no users at all. */
const USUAL_COST = 12
/** Of salt and hash together. */
const BCRYPT_DIGITS = 53

export interface PasswordCheckerComponents {
  readonly users: Pick<Htpasswd, 'table'>
  readonly bcrypt: Pick<BcryptThread, 'verify' | 'hasRoom'>
  readonly throttle: LoginThrottle
  readonly clock: Clock
}

/**
 * Checks passwords at a bounded cost. One that was right is remembered for a while, by an HMAC under a key of this
 * process and together with the hash that it fitted, so that a changed file counts at once; the same credential asked
 * for by several requests at a time is computed once; and who failed too often waits, before anything is computed.
 */
export class PasswordChecker {
  readonly #components: PasswordCheckerComponents
  readonly #options: Required<PasswordCheckerOptions>
  readonly #key = randomBytes(32)
  #standInFor: { readonly table: PasswordTable; readonly hash: string } | undefined
  /** When each was proved, in ms since 1970. */
  readonly #proved: LRUCache<string, number>
  readonly #underWay = new Map<string, Promise<boolean>>()

  constructor(components: PasswordCheckerComponents, options: PasswordCheckerOptions = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    this.#proved = new LRUCache({ max: this.#options.maxRemembered })
  }

  /**
   * @param address from where the client comes, which has to wait when it fails often
   * @returns the fingerprint of the hash that the password fits
   * @throws {OciError} UNAUTHORIZED, without saying whether there is such a user; TOOMANYREQUESTS
   */
  async check(user: string, password: string, address: string): Promise<string> {
    const table = await this.#components.users.table()
    const hash = table.get(user)
    const key = this.#keyOf(user, password, hash ?? '')
    if (hash !== undefined && this.#isProved(key)) return fingerprintOf(hash)
    const fits = await this.#compute(key, address, user, password, hash ?? this.#standIn(table))
    if (hash === undefined || !fits) throw unauthorized('wrong user name or password')
    return fingerprintOf(hash)
  }

  #isProved(key: string): boolean {
    const provedAtMs = this.#proved.get(key)
    return provedAtMs !== undefined && this.#components.clock() - provedAtMs < this.#options.rememberMs
  }

  /** Joins the same credential that is being computed already, so that it is computed and counted once. */
  #compute(key: string, address: string, user: string, password: string, hash: string): Promise<boolean> {
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    if (!this.#components.bcrypt.hasRoom) throw new TooManyLoginsError(this.#options.busyDelayMs)
    const attempt = this.#components.throttle.begin(address, user)
    const computing = this.#verify(key, attempt, user, password, hash).finally(() => {
      this.#underWay.delete(key)
      attempt.abandoned()
    })
    this.#underWay.set(key, computing)
    return computing
  }

  async #verify(key: string, attempt: LoginAttempt, user: string, password: string, hash: string): Promise<boolean> {
    const fits = await this.#components.bcrypt.verify(password, hash)
    const known = (await this.#components.users.table()).get(user) === hash
    if (fits && known) {
      attempt.succeeded()
      this.#proved.set(key, this.#components.clock())
      return true
    }
    attempt.failed()
    return false
  }

  /** Each part is preceded by its length, so that no two credentials read the same. */
  #keyOf(...parts: readonly string[]): string {
    const hmac = createHmac('sha256', this.#key)
    for (const part of parts) hmac.update(`${Buffer.byteLength(part)}:${part}`)
    return hmac.digest('base64')
  }

  /** A hash that no password fits, which takes as long to compute as those of most users. */
  #standIn(table: PasswordTable): string {
    if (this.#standInFor?.table !== table) {
      const cost = String(mostFrequentCost(table)).padStart(2, '0')
      this.#standInFor = { table, hash: `$2b$${cost}$${randomDigits(BCRYPT_DIGITS)}` }
    }
    return this.#standInFor.hash
  }
}

function mostFrequentCost(table: PasswordTable): number {
  const counts = new Map<number, number>()
  for (const hash of table.values()) counts.set(costOf(hash), (counts.get(costOf(hash)) ?? 0) + 1)
  const [most] = [...counts].sort((a, b) => b[1] - a[1])
  return most?.[0] ?? USUAL_COST
}

/** Letters of bcrypt's base 64. */
function randomDigits(length: number): string {
  return randomBytes(length).toString('base64').slice(0, length).replaceAll('+', '.')
}
