import type { NodePrefetch, PrefetchEvent } from '@layermesh/node'
import type { Output } from './context.ts'
import { BAR_WIDTH, Drawing, renderBar } from './drawing.ts'
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
const STATE_WIDTH = 'connecting'.length
const MAX_ZONE_WIDTH = 16
const MIN_BAR_WIDTH = 5
/** Those that there is something to see of come first. */
const ORDER: readonly NodePrefetch['state'][] = ['failed', 'lost', 'fetching', 'connecting', 'waiting', 'done']

class BarDisplay implements PrefetchDisplay {
  readonly #out: Output
  readonly #drawing: Drawing
  readonly #nodes = new Map<string, NodePrefetch>()

  constructor(out: Output) {
    this.#out = out
    this.#drawing = new Drawing(out)
  }

  show(event: PrefetchEvent): void {
    if (event.type === 'progress') this.#nodes.set(event.progress.peerId, event.progress)
    const nodes = [...this.#nodes.values()].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state))
    const done = nodes.filter(({ state }) => state === 'done').length
    const zoneWidth = Math.min(MAX_ZONE_WIDTH, Math.max(...nodes.map(({ zone }) => printable(zone).length)))
    const rows = nodes.map((node) => renderNode(node, this.#out.columns, zoneWidth))
    this.#drawing.draw([`${done} of ${nodes.length} nodes have it`, ...rows])
  }
}

/** The bar is as long as there is room beside the numbers. */
function renderNode(
  { peerId, zone, state, size, heldBytes }: NodePrefetch,
  columns: number,
  zoneWidth: number
): string {
  const isKnown = size > 0
  const numbers = state === 'done' ? formatBytes(size) : `${formatBytes(heldBytes)} of ${formatBytes(size)}`
  const name = `${shortPeer(printable(peerId))} ${printable(zone).slice(0, zoneWidth).padEnd(zoneWidth)}`
  const beside = name.length + NUMBERS_WIDTH + STATE_WIDTH + ' []  '.length
  const width = Math.min(BAR_WIDTH, Math.max(MIN_BAR_WIDTH, columns - 1 - beside))
  const bar = renderBar(isKnown ? heldBytes : 0, isKnown ? size : 1, width)
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
