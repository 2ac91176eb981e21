import type { Output } from './context.ts'

const UP_AND_CLEAR = (lines: number) => (lines === 0 ? '' : `\u001b[${lines}A\u001b[J`)
export const BAR_WIDTH = 30

/** Lines of a terminal that are drawn over again and again. */
export class Drawing {
  readonly #out: Output
  #drawn = 0

  constructor(out: Output) {
    this.#out = out
  }

  /**
   * Draws lines in place of those before; none is wider than the terminal, and no more than fit in it are drawn.
   * @param end stays below them
   */
  draw(lines: readonly string[], end = ''): void {
    const { columns, rows } = this.#out
    const shown = lines.slice(0, Math.max(1, rows - 2)).map((line) => `${line.slice(0, columns - 1)}\n`)
    this.#out.write(`${UP_AND_CLEAR(this.#drawn)}${shown.join('')}${end}`)
    this.#drawn = shown.length
  }
}

/** A bar that is as full as what it stands for. @param width between its ends */
export function renderBar(held: number, size: number, width = BAR_WIDTH): string {
  const filled = held >= size ? width : Math.floor((width * held) / size)
  return `[${'#'.repeat(filled).padEnd(width, '.')}]`
}
