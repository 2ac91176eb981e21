import type { Output } from './context.ts'
import { Drawing } from './drawing.ts'
import { formatBytes, shortDigest } from './format.ts'
import { type Part, renderParts } from './pull-display.ts'

/** Shows how far the parts of images are. */
export interface PartDisplay {
  show(part: Part): void
  /** Shows what came of it, below. */
  end(text: string, result: unknown): void
}

/** JSON as it comes, bars on a terminal, else a line for each part that is through. */
export function createPartDisplay(out: Output, json: boolean): PartDisplay {
  if (json) {
    const write = (event: unknown) => out.write(`${JSON.stringify(event)}\n`)
    return {
      show: (progress) => write({ type: 'progress', progress }),
      end: (_text, result) => write({ type: 'done', result })
    }
  }
  return out.isTerminal ? new BarDisplay(out) : new LineDisplay(out)
}

/** A terminal is not drawn over more often than eyes can follow. */
const DRAW_EVERY_MS = 100

class BarDisplay implements PartDisplay {
  readonly #out: Output
  readonly #drawing: Drawing
  readonly #parts = new Map<string, Part>()
  #drawnAt = 0

  constructor(out: Output) {
    this.#out = out
    this.#drawing = new Drawing(out)
  }

  show(part: Part): void {
    this.#parts.set(part.digest, part)
    if (performance.now() - this.#drawnAt < DRAW_EVERY_MS) return
    this.#drawnAt = performance.now()
    this.#drawing.draw(renderParts([...this.#parts.values()], this.#out))
  }

  end(text: string): void {
    this.#drawing.draw(renderParts([...this.#parts.values()], this.#out), text)
  }
}

class LineDisplay implements PartDisplay {
  readonly #out: Output
  readonly #told = new Set<string>()

  constructor(out: Output) {
    this.#out = out
  }

  show({ digest, size, heldBytes }: Part): void {
    if (heldBytes < size || this.#told.has(digest)) return
    this.#told.add(digest)
    this.#out.write(`${shortDigest(digest)}  ${formatBytes(size)}\n`)
  }

  end(text: string): void {
    this.#out.write(text)
  }
}
