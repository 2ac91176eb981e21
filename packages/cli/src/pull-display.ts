import type { PullEvent, PullProgress, PullResult } from '@layermesh/node'
import type { Output } from './context.ts'
import { formatBytes, nameOfSource, printable, shortDigest } from './format.ts'

/** Shows how far a pull is. */
export interface PullDisplay {
  show(event: PullEvent): void
}

/** JSON as it comes, bars on a terminal, else a line for each part that is here. */
export function createPullDisplay(out: Output, json: boolean): PullDisplay {
  if (json) return { show: (event) => out.write(`${JSON.stringify(event)}\n`) }
  return out.isTerminal ? new BarDisplay(out) : new LineDisplay(out)
}

class LineDisplay implements PullDisplay {
  readonly #out: Output
  readonly #told = new Set<string>()

  constructor(out: Output) {
    this.#out = out
  }

  show(event: PullEvent): void {
    if (event.type === 'done') this.#out.write(formatResult(event.result))
    if (event.type !== 'progress') return
    const { digest, size, heldBytes } = event.progress
    if (heldBytes < size || this.#told.has(digest)) return
    this.#told.add(digest)
    this.#out.write(`${shortDigest(digest)}  ${formatBytes(size)}\n`)
  }
}

const UP_AND_CLEAR = (lines: number) => (lines === 0 ? '' : `\u001b[${lines}A\u001b[J`)

class BarDisplay implements PullDisplay {
  readonly #out: Output
  readonly #parts = new Map<string, PullProgress>()
  #drawn = 0

  constructor(out: Output) {
    this.#out = out
  }

  show(event: PullEvent): void {
    if (event.type === 'progress') this.#parts.set(event.progress.digest, event.progress)
    const lines = renderBars([...this.#parts.values()], this.#out)
    const end = event.type === 'done' ? formatResult(event.result) : ''
    this.#out.write(`${UP_AND_CLEAR(this.#drawn)}${lines.map((line) => `${line}\n`).join('')}${end}`)
    this.#drawn = lines.length
  }
}

const BAR_WIDTH = 30
const NUMBERS_WIDTH = 22

/** One bar for each part, none wider than the terminal, no more than fit in it: what is unfinished comes first. */
export function renderBars(
  parts: readonly PullProgress[],
  { columns, rows }: Pick<Output, 'columns' | 'rows'>
): string[] {
  const room = Math.max(1, rows - 2)
  const unfinishedFirst = [...parts].sort((a, b) => Number(isWhole(a)) - Number(isWhole(b)))
  const shown = parts.length <= room ? parts : unfinishedFirst.slice(0, room)
  return shown.map((part) => renderBar(part).slice(0, columns - 1))
}

function renderBar(part: PullProgress): string {
  const { digest, size, heldBytes } = part
  const filled = isWhole(part) ? BAR_WIDTH : Math.floor((BAR_WIDTH * heldBytes) / size)
  const numbers = isWhole(part) ? formatBytes(size) : `${formatBytes(heldBytes)} of ${formatBytes(size)}`
  return `${shortDigest(digest)} [${'#'.repeat(filled).padEnd(BAR_WIDTH, '.')}] ${numbers.padStart(NUMBERS_WIDTH)}`
}

function isWhole({ size, heldBytes }: PullProgress): boolean {
  return heldBytes >= size
}

function formatResult({ repository, tag, digest, size, receivedBytes, sources }: PullResult): string {
  const name = tag === undefined ? repository : `${repository}:${tag}`
  const from = sources.map((source) => `  ${formatBytes(source.bytes)} from ${printable(nameOfSource(source))}\n`)
  const came = receivedBytes === 0 ? 'all of it was here before' : `${formatBytes(receivedBytes)} taken in`
  return `${name}@${digest} is here: ${formatBytes(size)}, ${came}\n${from.join('')}`
}
