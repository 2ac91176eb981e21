import { isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../access-types.ts'

/*
 * Guessing passwords costs time. Two things are counted, each with a delay that doubles:
 *
 * - wrong passwords of one user from one address, since that is how one password is guessed;
 * - users for which an address had a wrong password, since that is how a few passwords are tried on many users.
 *
 * Nothing is counted of a user alone: whoever could have a user locked out everywhere would only have to fail often
 * enough. A user who is under attack from elsewhere only has less patience shown: an address that fails for this user
 * waits after its first wrong password instead of its sixth. The first attempt from any address is always looked at.
 *
 * An address that many share must not be closed by one of them. That can't be known of NAT, so that an address as a
 * whole waits for half a minute at most; it is known of the loopback, where every client of this host and of a proxy on
 * it is, and of peers that pass on what their clients showed. These wait for seconds only, and never as a whole. And who
 * has proved a password lately does not come here at all (see `PasswordChecker`).
 */

export interface LoginThrottleOptions {
  /** Wrong passwords of one user from one address before it has to wait. @default 5 */
  readonly freeAttempts?: number
  /** The same from an address that many share. @default 20 */
  readonly freeAttemptsShared?: number
  /** Users with wrong passwords from one address before it has to wait. @default 20 */
  readonly freeUsers?: number
  /** Wrong passwords of one user from everywhere after which each address has one free attempt only. @default 50 */
  readonly attackedAfter?: number
  /** The first delay; each further failure doubles it. @default 1 000 */
  readonly firstDelayMs?: number
  /** The longest delay of one user at one address. @default 900 000 */
  readonly maxDelayMs?: number
  /** The longest delay of one user at an address that many share. @default 5 000 */
  readonly maxDelaySharedMs?: number
  /** The longest delay of an address as a whole. @default 30 000 */
  readonly maxAddressDelayMs?: number
  /** Failures are forgotten when none came for so long. @default 1 800 000 */
  readonly forgetAfterMs?: number
  /** Entries of each table; the one that was used longest ago gives way. @default 10 000 */
  readonly maxEntries?: number
}

export const LOGIN_THROTTLE_DEFAULTS: Required<LoginThrottleOptions> = Object.freeze({
  freeAttempts: 5,
  freeAttemptsShared: 20,
  freeUsers: 20,
  attackedAfter: 50,
  firstDelayMs: 1_000,
  maxDelayMs: 900_000,
  maxDelaySharedMs: 5_000,
  maxAddressDelayMs: 30_000,
  forgetAfterMs: 1_800_000,
  maxEntries: 10_000
})

/** What is counted under one key. */
interface Count {
  readonly failures: number
  readonly blockedUntilMs: number
  readonly lastMs: number
}

const NONE: Count = Object.freeze({ failures: 0, blockedUntilMs: 0, lastMs: 0 })

/** Counts failed log-ins and says who has to wait. All its tables are bounded. */
export class LoginThrottle {
  readonly #clock: Clock
  readonly #options: Required<LoginThrottleOptions>
  readonly #pairs: LRUCache<string, Count>
  readonly #addresses: LRUCache<string, Count>
  readonly #users: LRUCache<string, Count>

  constructor({ clock }: { clock: Clock }, options: LoginThrottleOptions = {}) {
    this.#clock = clock
    this.#options = { ...LOGIN_THROTTLE_DEFAULTS, ...options }
    const max = this.#options.maxEntries
    this.#pairs = new LRUCache({ max })
    this.#addresses = new LRUCache({ max })
    this.#users = new LRUCache({ max })
  }

  /** How long this user has to wait at this address, in ms; 0 when a password may be tried now. */
  waitMs(address: string, user: string): number {
    const place = placeOf(address)
    const now = this.#clock()
    const untilMs = Math.max(
      this.#of(this.#pairs, pairKey(place, user)).blockedUntilMs,
      this.#of(this.#addresses, place.key).blockedUntilMs
    )
    return Math.max(0, untilMs - now)
  }

  /** A wrong password. */
  failed(address: string, user: string): void {
    const place = placeOf(address)
    const { firstDelayMs, maxDelayMs, maxDelaySharedMs, maxAddressDelayMs, freeUsers } = this.#options
    const isFirst = this.#of(this.#pairs, pairKey(place, user)).failures === 0
    const free = this.#freeAttempts(place, user)
    this.#count(this.#users, user, { free: Number.POSITIVE_INFINITY, firstDelayMs, maxDelayMs })
    const longest = place.isShared ? maxDelaySharedMs : maxDelayMs
    this.#count(this.#pairs, pairKey(place, user), { free, firstDelayMs, maxDelayMs: longest })
    if (place.isShared || !isFirst) return
    this.#count(this.#addresses, place.key, { free: freeUsers, firstDelayMs, maxDelayMs: maxAddressDelayMs })
  }

  /** A right password: what this user failed at this address is forgotten, not what the address did to others. */
  succeeded(address: string, user: string): void {
    this.#pairs.delete(pairKey(placeOf(address), user))
  }

  #freeAttempts({ isShared }: Place, user: string): number {
    const { freeAttempts, freeAttemptsShared, attackedAfter } = this.#options
    if (isShared) return freeAttemptsShared
    return this.#of(this.#users, user).failures >= attackedAfter ? 1 : freeAttempts
  }

  #count(
    table: LRUCache<string, Count>,
    key: string,
    { free, firstDelayMs, maxDelayMs }: { free: number; firstDelayMs: number; maxDelayMs: number }
  ): void {
    const now = this.#clock()
    const failures = this.#of(table, key).failures + 1
    const delayMs = failures <= free ? 0 : Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures - free - 1, 40))
    table.set(key, { failures, blockedUntilMs: now + delayMs, lastMs: now })
  }

  #of(table: LRUCache<string, Count>, key: string): Count {
    const count = table.get(key)
    return count === undefined || this.#clock() - count.lastMs > this.#options.forgetAfterMs ? NONE : count
  }
}

interface Place {
  readonly key: string
  readonly isShared: boolean
}

function pairKey({ key }: Place, user: string): string {
  return `${key} ${user}`
}

/** An address as it is counted: of IPv6 the /64, which one subscriber has. What is no IP address is a peer. */
function placeOf(address: string): Place {
  const plain = address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
  switch (isIP(plain)) {
    case 4:
      return { key: plain, isShared: plain.startsWith('127.') }
    case 6:
      return { key: network64(plain), isShared: network64(plain) === LOOPBACK_64 && /(^|:)0*1$/.test(plain) }
    default:
      return { key: plain, isShared: true }
  }
}

const LOOPBACK_64 = '0:0:0:0'

/** The first four groups of an IPv6 address, without leading zeros. */
function network64(address: string): string {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const before = groupsOf(head)
  const after = tail === undefined ? [] : groupsOf(tail)
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => 0)
  return [...before, ...zeros, ...after]
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')
}

/** An IPv4 part at the end stands for two groups, which are beyond the first four either way. */
function groupsOf(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => (group.includes('.') ? [0, 0] : [Number.parseInt(group, 16)]))
}
