import type { PullEvent, PullProgress, PullResult } from '@layermesh/node'
import type { Output } from './context.ts'
import { Drawing, renderBar } from './drawing.ts'
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

class BarDisplay implements PullDisplay {
  readonly #out: Output
  readonly #drawing: Drawing
  readonly #parts = new Map<string, PullProgress>()

  constructor(out: Output) {
    this.#out = out
    this.#drawing = new Drawing(out)
  }

  show(event: PullEvent): void {
    if (event.type === 'progress') this.#parts.set(event.progress.digest, event.progress)
    const end = event.type === 'done' ? formatResult(event.result) : ''
    this.#drawing.draw(renderParts([...this.#parts.values()], this.#out), end)
  }
}

const NUMBERS_WIDTH = 22

/** One line for each part; when they do not fit in the terminal, what is unfinished comes first. */
export function renderParts(parts: readonly Part[], { rows }: Pick<Output, 'rows'>): string[] {
  const fits = parts.length <= Math.max(1, rows - 2)
  const shown = fits ? parts : [...parts].sort((a, b) => Number(isWhole(a)) - Number(isWhole(b)))
  return shown.map(renderPart)
}

/** What is shown of a part of an image. */
export type Part = Pick<PullProgress, 'digest' | 'size' | 'heldBytes'>

function renderPart(part: Part): string {
  const { digest, size, heldBytes } = part
  const numbers = isWhole(part) ? formatBytes(size) : `${formatBytes(heldBytes)} of ${formatBytes(size)}`
  return `${shortDigest(digest)} ${renderBar(heldBytes, size)} ${numbers.padStart(NUMBERS_WIDTH)}`
}

function isWhole({ size, heldBytes }: Part): boolean {
  return heldBytes >= size
}

function formatResult({ repository, tag, digest, size, receivedBytes, sources }: PullResult): string {
  const name = tag === undefined ? repository : `${repository}:${tag}`
  const from = sources.map((source) => `  ${formatBytes(source.bytes)} from ${printable(nameOfSource(source))}\n`)
  const came = receivedBytes === 0 ? 'all of it was here before' : `${formatBytes(receivedBytes)} taken in`
  return `${name}@${digest} is here: ${formatBytes(size)}, ${came}\n${from.join('')}`
}
