import type { SpaceLimit } from '@layermesh/content'

const MILLISECONDS: Readonly<Record<string, number>> = Object.freeze({
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
})

const BYTES: Readonly<Record<string, number>> = Object.freeze({
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12
})

const BYTES_PER_BIT_UNIT: Readonly<Record<string, number>> = Object.freeze({
  kbit: 1e3 / 8,
  Mbit: 1e6 / 8,
  Gbit: 1e9 / 8
})

const SHARE = /^([0-9]{1,3}(?:\.[0-9]{1,3})?)\s?%$/
const QUANTITY = /^([0-9]{1,12}(?:\.[0-9]{1,3})?)\s?([A-Za-z]+)$/

/** Milliseconds of a duration such as `800ms`, `10s`, `1.5h` or `30d`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, MILLISECONDS)
}

/** Bytes of a size such as `64MiB` (binary) or `500 MB` (decimal); undefined when it is none. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, BYTES)
}

/** Bytes per second of a rate such as `50MiB/s` or `400Mbit/s`; undefined when it is none. */
export function parseRate(text: string): number | undefined {
  if (!text.endsWith('/s')) return undefined
  return parseQuantity(text.slice(0, -2), { ...BYTES, ...BYTES_PER_BIT_UNIT })
}

/** A share such as `80%`, as a number of more than 0 and at most 1; undefined when it is none. */
export function parseShare(text: string): number | undefined {
  const [, percent] = SHARE.exec(text) ?? []
  const share = Number(percent) / 100
  return share > 0 && share <= 1 ? share : undefined
}

/** A size, or a share of the disk; undefined when it is neither. */
export function parseSpace(text: string): SpaceLimit | undefined {
  const share = parseShare(text)
  if (share !== undefined) return { share }
  const bytes = parseSize(text)
  return bytes === undefined ? undefined : { bytes }
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, amount, unit = ''] = QUANTITY.exec(text) ?? []
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  if (amount === undefined || factor === undefined) return undefined
  const value = Math.round(Number(amount) * factor)
  return Number.isSafeInteger(value) ? value : undefined
}
