import { isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../access-types.ts'
import { TooManyLoginsError } from '../errors.ts'

/*
 * Guessing passwords costs time. Two things are counted, each with a delay that doubles:
 *
 * - wrong passwords of one user from one address, since that is how one password is guessed;
 * - users for which an address had a wrong password, since that is how a few passwords are tried on many users.
 *
 * Nobody waits for what is counted of a user alone: whoever could have a user locked out everywhere would only have to
 * fail often enough. But while a user is under attack, an address that fails for this user waits after its second wrong
 * password instead of its sixth. The first attempt from any address is always looked at.
 *
 * An address that many share must not be closed by one of them. That can't be known of NAT, so that an address as a
 * whole waits for half a minute at most; it is known of the loopback, where every client of this host and of a proxy on
 * it is, and of a peer that passes on what its clients showed. There a user waits for seconds only, and the address as a
 * whole never does. And who has proved a password lately, where this node judges it, does not come here at all (see
 * `PasswordChecker`).
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
  /** Passwords from one address that are being checked at one time. @default 8 */
  readonly maxAtOnce?: number
  /** The same from an address that many share. @default 32 */
  readonly maxAtOnceShared?: number
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
  maxAtOnce: 8,
  maxAtOnceShared: 32,
  maxEntries: 10_000
})

/** What is counted under one key. */
interface Count {
  readonly failures: number
  readonly blockedUntilMs: number
  readonly lastMs: number
}

const MAX_DOUBLINGS = 40
const NONE: Count = Object.freeze({ failures: 0, blockedUntilMs: 0, lastMs: 0 })

/** A password that is being checked. Its end is told once. */
export interface LoginAttempt {
  /** It was wrong. */
  failed(): void
  /** It was right: what this user failed at this address is forgotten, not what the address did to others. */
  succeeded(): void
  /** It is not known. */
  abandoned(): void
}

/** Counts failed log-ins and has those wait who fail often. All its tables are bounded. */
export class LoginThrottle {
  readonly #clock: Clock
  readonly #options: Required<LoginThrottleOptions>
  readonly #pairs: LRUCache<string, Count>
  readonly #addresses: LRUCache<string, Count>
  readonly #users: LRUCache<string, Count>
  /** Attempts whose end is not known yet; as many as the caller lets be. */
  readonly #underWay = new Map<string, number>()

  constructor({ clock }: { clock: Clock }, options: LoginThrottleOptions = {}) {
    this.#clock = clock
    this.#options = { ...LOGIN_THROTTLE_DEFAULTS, ...options }
    const max = this.#options.maxEntries
    this.#pairs = new LRUCache({ max })
    this.#addresses = new LRUCache({ max })
    this.#users = new LRUCache({ max })
  }

  /**
   * Asks whether a password of this user may be tried from this address now. Attempts under way count as failed until
   * they end, so that many at once do not slip through.
   * @throws {TooManyLoginsError}
   */
  begin(address: string, user: string): LoginAttempt {
    const place = placeOf(address)
    const pair = pairKey(place, user)
    const waitMs = Math.max(this.#waitMs(this.#pairs, pair), this.#waitMs(this.#addresses, place.key))
    if (waitMs > 0) throw new TooManyLoginsError(waitMs)
    const ofPair = this.#underWay.get(pair) ?? 0
    const isOver = this.#of(this.#pairs, pair).failures + ofPair >= this.#freeAttempts(place, user)
    if (ofPair > 0 && isOver) throw new TooManyLoginsError(this.#options.firstDelayMs)
    const max = place.isShared ? this.#options.maxAtOnceShared : this.#options.maxAtOnce
    const ofPlace = this.#underWay.get(place.key) ?? 0
    const ofNode = place.node === undefined ? 0 : (this.#underWay.get(place.node) ?? 0)
    if (ofPlace >= max || ofNode >= this.#options.maxAtOnceShared) {
      throw new TooManyLoginsError(this.#options.firstDelayMs)
    }
    this.#addAll(place, pair, 1)
    return this.#attempt(place, user)
  }

  #attempt(place: Place, user: string): LoginAttempt {
    let ended = false
    const end = (act: () => void) => () => {
      if (ended) return
      ended = true
      this.#addAll(place, pairKey(place, user), -1)
      act()
    }
    return {
      failed: end(() => this.#failed(place, user)),
      succeeded: end(() => this.#pairs.delete(pairKey(place, user))),
      abandoned: end(() => {})
    }
  }

  #failed(place: Place, user: string): void {
    const { firstDelayMs, maxDelayMs, maxDelaySharedMs, maxAddressDelayMs, freeUsers } = this.#options
    const pair = pairKey(place, user)
    const isFirst = this.#of(this.#pairs, pair).failures === 0
    this.#count(this.#users, user, Number.POSITIVE_INFINITY, firstDelayMs)
    this.#count(this.#pairs, pair, this.#freeAttempts(place, user), place.isShared ? maxDelaySharedMs : maxDelayMs)
    if (isFirst && !place.isShared) this.#count(this.#addresses, place.key, freeUsers, maxAddressDelayMs)
  }

  #freeAttempts({ isShared }: Place, user: string): number {
    const { freeAttempts, freeAttemptsShared, attackedAfter } = this.#options
    if (isShared) return freeAttemptsShared
    return this.#of(this.#users, user).failures >= attackedAfter ? 1 : freeAttempts
  }

  #count(table: LRUCache<string, Count>, key: string, free: number, maxDelayMs: number): void {
    const now = this.#clock()
    const failures = this.#of(table, key).failures + 1
    const doublings = Math.min(failures - free - 1, MAX_DOUBLINGS)
    const delayMs = failures <= free ? 0 : Math.min(maxDelayMs, this.#options.firstDelayMs * 2 ** doublings)
    table.set(key, { failures, blockedUntilMs: now + delayMs, lastMs: now })
  }

  #waitMs(table: LRUCache<string, Count>, key: string): number {
    return Math.max(0, this.#of(table, key).blockedUntilMs - this.#clock())
  }

  #of(table: LRUCache<string, Count>, key: string): Count {
    const count = table.get(key)
    return count === undefined || this.#clock() - count.lastMs > this.#options.forgetAfterMs ? NONE : count
  }

  #addAll({ key, node }: Place, pair: string, change: 1 | -1): void {
    for (const counted of node === undefined ? [pair, key] : [pair, key, node]) this.#add(counted, change)
  }

  #add(key: string, change: 1 | -1): void {
    const count = (this.#underWay.get(key) ?? 0) + change
    if (count === 0) this.#underWay.delete(key)
    else this.#underWay.set(key, count)
  }
}

interface Place {
  readonly key: string
  readonly isShared: boolean
  /** The node by whose word it is an address; it can name as many as it likes. */
  readonly node?: string
}

/** User names hold no line end, so that no two pairs read the same. */
function pairKey({ key }: Place, user: string): string {
  return `${key}\n${user}`
}

/**
 * An address as it is counted: of IPv6 the /64, which one subscriber has. `PEER/ADDRESS` is a client's address by the
 * word of the node that it asked: each node has its own, so that none can have the clients of another wait. What is no
 * IP address stands for many clients.
 */
function placeOf(address: string): Place {
  const slash = address.lastIndexOf('/')
  const node = address.slice(0, slash + 1)
  const by = node === '' ? {} : { node }
  const plain = address.slice(slash + 1).replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
  switch (isIP(plain)) {
    case 4:
      return { key: node + plain, isShared: plain.startsWith('127.'), ...by }
    case 6: {
      const network = network64(plain)
      return { key: node + network, isShared: network === LOOPBACK_64 && /(^|:)0*1$/.test(plain), ...by }
    }
    default:
      return { key: node === '' ? address : `${node}?`, isShared: true, ...by }
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
