import type { NodePrefetch, PrefetchEvent } from '@layermesh/node'
import type { Output } from './context.ts'
import { Drawing, renderBar } from './drawing.ts'
import { formatBytes, printable, shortDigest, shortPeer } from './format.ts'

/** Shows how far the nodes of a prefetch are. */
export interface PrefetchDisplay {
  show(event: PrefetchEvent): void
}

/** JSON as it comes, a bar for each node on a terminal, else a line when a node is done or lost. */
export function createPrefetchDisplay(out: Output, json: boolean): PrefetchDisplay {
  if (json) return { show: (event) => out.write(`${JSON.stringify(event)}\n`) }
  return out.isTerminal ? new BarDisplay(out) : new LineDisplay(out)
}

const NUMBERS_WIDTH = 22
const ZONE_WIDTH = 16
/** Those that there is something to see of come first. */
const ORDER: readonly NodePrefetch['state'][] = ['failed', 'lost', 'fetching', 'connecting', 'waiting', 'done']

class BarDisplay implements PrefetchDisplay {
  readonly #drawing: Drawing
  readonly #nodes = new Map<string, NodePrefetch>()

  constructor(out: Output) {
    this.#drawing = new Drawing(out)
  }

  show(event: PrefetchEvent): void {
    if (event.type === 'progress') this.#nodes.set(event.progress.peerId, event.progress)
    const nodes = [...this.#nodes.values()].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state))
    const done = nodes.filter(({ state }) => state === 'done').length
    this.#drawing.draw([`${done} of ${nodes.length} nodes have it`, ...nodes.map(renderNode)])
  }
}

function renderNode({ peerId, zone, state, size, heldBytes }: NodePrefetch): string {
  const isKnown = size > 0
  const bar = renderBar(isKnown ? heldBytes : 0, isKnown ? size : 1)
  const numbers = state === 'done' ? formatBytes(size) : `${formatBytes(heldBytes)} of ${formatBytes(size)}`
  const name = `${shortPeer(printable(peerId))} ${printable(zone).slice(0, ZONE_WIDTH).padEnd(ZONE_WIDTH)}`
  return `${name} ${bar} ${(isKnown ? numbers : '').padStart(NUMBERS_WIDTH)} ${state}`
}

class LineDisplay implements PrefetchDisplay {
  readonly #out: Output
  readonly #told = new Map<string, NodePrefetch['state']>()

  constructor(out: Output) {
    this.#out = out
  }

  show(event: PrefetchEvent): void {
    if (event.type !== 'progress') return
    const { peerId, state } = event.progress
    if (this.#told.get(peerId) === state) return
    this.#told.set(peerId, state)
    const line = renderLine(event.progress)
    if (line !== undefined) this.#out.write(line)
  }
}

function renderLine({ peerId, zone, state, size, receivedBytes, digest }: NodePrefetch): string | undefined {
  const name = `${shortPeer(printable(peerId))} in ${printable(zone)}`
  if (state === 'lost') return `${name} was lost; waiting for it to come back\n`
  if (state !== 'done') return undefined
  const came = receivedBytes === 0 ? 'all of it was there before' : `${formatBytes(receivedBytes)} taken in`
  return `${name} has ${shortDigest(digest ?? '')}: ${formatBytes(size)}, ${came}\n`
}
