import type { BadBlob, VerifyCount, VerifyEvent } from '@layermesh/node'
import type { Output } from './context.ts'
import { Drawing, renderBar } from './drawing.ts'
import { formatBytes, printable, shortDigest } from './format.ts'

/** Shows how far a verification is, and what is bad. */
export interface VerifyDisplay {
  show(event: VerifyEvent): void
}

/** JSON as it comes, a bar on a terminal, else a line for each bad blob once it is known what came of it. */
export function createVerifyDisplay(out: Output, json: boolean): VerifyDisplay {
  if (json) return { show: (event) => out.write(`${JSON.stringify(event)}\n`) }
  return out.isTerminal ? new BarDisplay(out) : { show: (event) => showLine(out, event) }
}

class BarDisplay implements VerifyDisplay {
  readonly #drawing: Drawing
  readonly #bad = new Map<string, BadBlob>()
  #count: VerifyCount | undefined

  constructor(out: Output) {
    this.#drawing = new Drawing(out)
  }

  show(event: VerifyEvent): void {
    if (event.type === 'progress') {
      if ('bad' in event.progress) this.#bad.set(event.progress.bad.digest, event.progress.bad)
      else this.#count = event.progress.count
    }
    this.#drawing.draw([
      ...(this.#count === undefined ? [] : [renderCount(this.#count)]),
      ...[...this.#bad.values()].map(renderBad)
    ])
  }
}

function renderCount({ blobs, bytes, ofBlobs, ofBytes }: VerifyCount): string {
  const done = Math.min(bytes, ofBytes)
  return `${renderBar(done, ofBytes)} ${formatBytes(done)} of ${formatBytes(ofBytes)}, ${blobs} of ${ofBlobs} blobs`
}

function renderBad({ digest, size, badPieces, repository, state, reason }: BadBlob): string {
  const what = badPieces === 0 ? 'its file was missing or cut' : `${badPieces} bad pieces`
  const where = repository === undefined ? '' : ` of ${printable(repository)}`
  const why = reason === undefined ? '' : `: ${printable(reason)}`
  return `${shortDigest(digest)}${where}, ${formatBytes(size)}: ${what}; ${STATES[state]}${why}`
}

const STATES: Readonly<Record<BadBlob['state'], string>> = Object.freeze({
  fetching: 'fetching it anew',
  repaired: 'fetched anew',
  lost: 'lost'
})

function showLine(out: Output, event: VerifyEvent): void {
  if (event.type !== 'progress' || !('bad' in event.progress)) return
  const { bad } = event.progress
  if (bad.state !== 'fetching') out.write(`${renderBad(bad)}\n`)
}
