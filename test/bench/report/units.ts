const SIZES: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const RATES: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }
const QUANTITY = /^(\d+(?:\.\d+)?)\s?([A-Za-z]+)$/

export const KIB = 2 ** 10
export const MIB = 2 ** 20
export const GIB = 2 ** 30

/** Bytes of a size such as `256MiB`; undefined when it is none. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZES)
}

/** Bits a second of a rate such as `100mbit`, as tc(8) spells it; undefined when it is none. */
export function parseRate(text: string): number | undefined {
  return parseQuantity(text, RATES)
}

/** `256 MiB`, `1.5 GiB`. */
export function formatSize(bytes: number): string {
  const [unit, factor] = Object.entries(SIZES).findLast(([, size]) => bytes >= size) ?? ['B', 1]
  return `${trimmed(bytes / factor)} ${unit}`
}

/** `100 Mbit/s`. */
export function formatRate(bitsPerSecond: number): string {
  return `${trimmed(bitsPerSecond / 1e6)} Mbit/s`
}

/** Bytes over seconds, in the MB/s (10^6) of disks and networks. */
export function formatThroughput(bytes: number, seconds: number): string {
  return `${Math.round(bytes / seconds / 1e6)} MB/s`
}

export function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${trimmed(seconds * 1000)} ms` : `${seconds.toFixed(2)} s`
}

export function formatShare(share: number): string {
  return `${trimmed(share * 100)} %`
}

export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(2)} ×`
}

/** Three digits that count, and no zeros behind the point. */
function trimmed(value: number): string {
  return String(Number(value >= 100 ? value.toFixed(0) : value.toPrecision(3)))
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, amount, unit = ''] = QUANTITY.exec(text) ?? []
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  return amount === undefined || factor === undefined ? undefined : Math.round(Number(amount) * factor)
}
