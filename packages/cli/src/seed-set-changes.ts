import type { SeedGrant, SeedSet } from '@layermesh/node'
import { CliFailure } from './failure.ts'

const DATE = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/
const HOUR_MS = 3_600_000
const MS: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS, y: 365 * 24 * HOUR_MS }

/** What a seed set is to say other than the one before it. */
export interface SeedSetChanges {
  /** `PEER_ID` or `PEER_ID=PATTERN,…`: added, or in place of what was said of it. */
  readonly seeds: readonly string[]
  /** `PEER_ID=WHEN` with when its word is to end, which {@link readTime} reads. */
  readonly retired: readonly string[]
  readonly revoked: readonly string[]
  /** Peer ids that are to be in the set no more. */
  readonly dropped: readonly string[]
}

/**
 * The set that follows another one: what was said before stays said unless a change says otherwise, and nobody leaves
 * it by being forgotten.
 * @param times in ms since 1970
 * @throws {CliFailure} USAGE
 */
export function nextSeedSet(
  previous: SeedSet | undefined,
  changes: SeedSetChanges,
  times: { readonly issuedAt: number; readonly expiresAt: number }
): SeedSet {
  const seeds = new Map(previous?.seeds.map((seed) => [seed.peerId, seed]))
  const revoked = new Set(previous?.revoked)
  for (const text of changes.seeds) {
    const seed = readSeed(text)
    if (revoked.has(seed.peerId)) throw usage(`${seed.peerId} was revoked: give the seed a new key`)
    seeds.set(seed.peerId, seed)
  }
  for (const text of changes.retired) {
    const { peerId, rest } = split(text)
    const seed = seeds.get(peerId)
    if (!seed) throw usage(`--retire ${peerId}: it is no seed of the set`)
    seeds.set(peerId, { ...seed, notAfter: readTime(rest, times.issuedAt, `--retire ${peerId}`) })
  }
  for (const peerId of changes.dropped) {
    if (!seeds.delete(peerId)) throw usage(`--drop ${peerId}: it is no seed of the set`)
  }
  for (const peerId of changes.revoked) {
    seeds.delete(peerId)
    revoked.add(peerId)
  }
  if (seeds.size === 0) throw usage('the set would name no seed; name one with --seed PEER_ID')
  return { sequence: (previous?.sequence ?? 0) + 1, ...times, seeds: [...seeds.values()], revoked: [...revoked] }
}

/**
 * A date such as `2027-01-31`, a date and time of RFC 3339, or how long from now, such as `30d`; in ms since 1970.
 * @throws {CliFailure} USAGE
 */
export function readTime(text: string, now: number, what: string): number {
  const [, amount, unit] = /^(\d{1,6})(h|d|y)$/.exec(text) ?? []
  if (unit !== undefined) return now + Number(amount) * (MS[unit] ?? 0)
  return readDate(text, what, ', or a time from now such as 30d or 1y')
}

/** A date, or a date and time, as for {@link readTime}. @throws {CliFailure} USAGE */
export function readDate(text: string, what: string, otherwise = ' or 2027-01-31T12:00Z'): number {
  const time = DATE.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(time)) throw usage(`${what}: expected a date such as 2027-01-31${otherwise}`)
  return time
}

function readSeed(text: string): SeedGrant {
  const { peerId, rest } = split(text)
  return { peerId, repositories: rest === '' ? ['**'] : rest.split(',') }
}

function split(text: string): { peerId: string; rest: string } {
  const equals = text.indexOf('=')
  return equals < 0 ? { peerId: text, rest: '' } : { peerId: text.slice(0, equals), rest: text.slice(equals + 1) }
}

function usage(message: string): CliFailure {
  return new CliFailure('USAGE', message)
}
