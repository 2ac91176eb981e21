import { InvalidArgumentError } from 'commander'

const SIZES: Readonly<Record<string, number>> = { '': 1, b: 1, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }
const RATES: Readonly<Record<string, number>> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 }
const TIMES: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000 }

/** Reads `64MiB` as bytes. */
export function parseSize(text: string): number {
  return parse(text, SIZES, 'a size such as 64MiB or 1GiB')
}

/** Reads `50Mbit` (a second) as bytes a second. */
export function parseRate(text: string): number {
  return parse(text, RATES, 'a rate such as 50Mbit or 1Gbit') / 8
}

/** Reads `20ms` or `10s` as milliseconds. */
export function parseTime(text: string): number {
  return parse(text, TIMES, 'a time such as 20ms or 10s')
}

/** Reads a number that is not negative. */
export function parseNumber(text: string): number {
  return parse(text, { '': 1 }, 'a number')
}

/** Reads a whole number that is not negative. */
export function parseCount(text: string): number {
  const count = parse(text, { '': 1 }, 'a whole number')
  if (!Number.isSafeInteger(count)) throw new InvalidArgumentError('Expected a whole number.')
  return count
}

/** Reads a share: 0 to 1, or a percentage. */
export function parseShare(text: string): number {
  const share = parse(text, { '': 1, '%': 0.01 }, 'a share such as 0.1 or 10%')
  if (share > 1) throw new InvalidArgumentError('Expected a share of at most 1.')
  return share
}

function parse(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z%]*)$/i.exec(text.trim()) ?? []
  const factor = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined
  if (digits === undefined || factor === undefined) throw new InvalidArgumentError(`Expected ${expected}.`)
  return Number(digits) * factor
}

const KIB = 1024
const SIZE_NAMES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** A size for people: `1.5 MiB`. */
export function formatSize(bytes: number): string {
  let power = 0
  while (power < SIZE_NAMES.length - 1 && bytes >= KIB ** (power + 1)) power++
  return `${power === 0 ? Math.round(bytes) : (bytes / KIB ** power).toFixed(1)} ${SIZE_NAMES[power]}`
}

/** A time for people: `1.25 s`. */
export function formatTime(ms: number | undefined): string {
  return ms === undefined ? '–' : `${(ms / 1000).toFixed(2)} s`
}

/** A ratio for people: `1.07 ×`. */
export function formatTimes(ratio: number): string {
  return `${ratio.toFixed(2)} ×`
}
