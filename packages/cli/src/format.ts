import Table from 'cli-table3'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const
const STEP = 1024
const SHORT_DIGEST = 12
/** What would move the cursor or ring: names that other nodes chose are shown too. */
const CONTROL = /\p{Cc}|\p{Bidi_Control}/gu

/** A size for people: `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const power = bytes < STEP ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / STEP ** power
  return `${power === 0 ? value : value.toFixed(value < 100 ? 1 : 0)} ${UNITS[power]}`
}

/** A time that passed, for people: `3 s`, `5 min`, `2 h`, `4 d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** A digest as long as people compare it: `sha256:0123456789ab`. */
export function shortDigest(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + SHORT_DIGEST)
}

/** A peer id as short as people tell it from others; their beginnings are all alike. */
export function shortPeer(peerId: string): string {
  return peerId.length <= SHORT_DIGEST ? peerId : `…${peerId.slice(-8)}`
}

/** Who brought bytes, as it is shown: a peer, or another registry. */
export function nameOfSource(source: { readonly peerId: string } | { readonly origin: string }): string {
  return 'origin' in source ? source.origin : shortPeer(source.peerId)
}

/** Text of any origin, safe to write to a terminal. */
export function printable(text: string): string {
  return text.replace(CONTROL, '�')
}

/** Columns under their names, without lines. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: head.map((name) => name.toUpperCase()),
    chars: BARE,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true }
  })
  for (const row of rows) table.push(row.map(printable))
  return `${table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`
}

/** Names and values, one pair a line. */
export function formatPairs(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join('')
}

const EDGES = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
  'middle'
] as const
const BARE = Object.fromEntries(EDGES.map((edge) => [edge, '']))
