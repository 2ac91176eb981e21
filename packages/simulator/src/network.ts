/**
 * The network as a fluid. Bytes flow over {@link Flow}s (one for each direction of a connection), each through a few
 * {@link Port}s of bounded rate: the uplink of the sender, the downlink of the receiver, and the link between their
 * zones. Flows that share a port get equal shares of it; what one can't use, because another port holds it back, the
 * others get. That is max-min fairness, which is what many TCP connections come to in the long run.
 *
 * The exact solution changes with every piece that begins or ends, all over the network: at 5,000 nodes, millions of
 * times. So time goes in short steps (a fraction of the time of a piece at line rate) instead. In each, a port has rate
 * × time to give away. In rounds every flow gets the smallest of its ports' equal shares; what is left is shared anew by
 * the flows that can still take some, among them those that began in this very step. A step costs some passes over
 * the flows, whatever happens in it. No port ever carries more than its rate allows; a few rounds leave a few per cent of it
 * unused at worst, and for one flow alone nothing.
 *
 * What a connection carries goes in the order in which it was handed over, one after the other.
 */

/** A place with a bounded rate that flows go through. */
export class Port {
  bytesPerMs: number
  /** All that went through. */
  carriedBytes = 0
  /** Working values of a step: what it may still carry, who takes part, what each gets. */
  left = 0
  claims = 0
  share = 0

  constructor(bytesPerMs: number) {
    this.bytesPerMs = bytesPerMs
  }
}

/** Something that is sent: so many bytes. */
export interface Load {
  readonly bytes: number
}

/** One direction of a connection. */
export class Flow<L extends Load> {
  readonly ports: readonly Port[]
  readonly loads: L[] = []
  /** Bytes of the first load that are still to be sent. */
  restBytes = 0
  /** Bytes of the first load that were sent and not yet taken by {@link takeProgress}. */
  freshBytes = 0
  carriedBytes = 0
  /** When bytes went over it last, or it got something to carry after it had nothing. */
  movedAt = 0
  closed = false
  /** Whether the network goes through it in each step. */
  listed = false
  /** The round that it last took part in. */
  round = 0

  constructor(ports: readonly Port[]) {
    this.ports = ports
  }

  takeProgress(): number {
    const bytes = this.freshBytes
    this.freshBytes = 0
    return bytes
  }
}

const ROUNDS = 6
/** Less than this is nothing. */
const CRUMB_BYTES = 0.5

export class FluidNetwork<L extends Load> {
  readonly #finished: (flow: Flow<L>, load: L) => void
  readonly #ports: Port[] = []
  #active: Flow<L>[] = []
  /** Flows that got something to carry since the last round. */
  #begun: Flow<L>[] = []
  #round = 0
  #movedBytes = 0

  /** @param finished told when the last byte of a load was sent; may send more at once */
  constructor(finished: (flow: Flow<L>, load: L) => void) {
    this.#finished = finished
  }

  port(bytesPerMs: number): Port {
    const port = new Port(bytesPerMs)
    this.#ports.push(port)
    return port
  }

  /** All bytes that went over any flow. */
  get movedBytes(): number {
    return this.#movedBytes
  }

  /** Flows that have something to carry. */
  get active(): readonly Flow<L>[] {
    return this.#active
  }

  /** Whether nothing is to be carried. */
  get idle(): boolean {
    return this.#active.length === 0 && this.#begun.length === 0
  }

  send(flow: Flow<L>, load: L, now: number): void {
    if (flow.closed) return
    flow.loads.push(load)
    if (flow.loads.length > 1) return
    flow.restBytes = load.bytes
    flow.movedAt = now
    this.#begun.push(flow)
  }

  /** Ends a flow; what it has not carried to the end is lost. */
  close(flow: Flow<L>): void {
    flow.closed = true
    flow.loads.length = 0
    flow.restBytes = 0
  }

  /** Lets bytes flow for so many milliseconds. */
  step(ms: number, now: number): void {
    for (const port of this.#ports) port.left = port.bytesPerMs * ms
    let open = this.open(this.#active)
    for (let round = 0; round < ROUNDS && open.length > 0; round++) {
      shareOut(open)
      for (const flow of this.move(open, now)) this.finish(flow)
      open = this.open(open)
    }
    this.#active = this.#active.filter((flow) => {
      flow.listed = flow.loads.length > 0
      return flow.listed
    })
  }

  /** Those of the flows, and of those that have just begun, that can move something in the next round. */
  private open(flows: readonly Flow<L>[]): Flow<L>[] {
    const open: Flow<L>[] = []
    this.#round++
    const add = (flow: Flow<L>) => {
      if (flow.round === this.#round || !canMove(flow)) return
      flow.round = this.#round
      open.push(flow)
    }
    const begun = this.#begun
    this.#begun = []
    for (const flow of flows) add(flow)
    for (const flow of begun) {
      add(flow)
      if (!flow.listed) this.#active.push(flow)
      flow.listed = true
    }
    return open
  }

  /** Gives each flow its share. @returns the flows whose first load is through */
  private move(open: readonly Flow<L>[], now: number): Flow<L>[] {
    const ended: Flow<L>[] = []
    for (const flow of open) {
      if (flow.closed) continue
      let bytes = flow.restBytes
      for (const port of flow.ports) if (port.share < bytes) bytes = port.share
      if (bytes <= 0) continue
      for (const port of flow.ports) {
        port.left -= bytes
        port.carriedBytes += bytes
      }
      flow.restBytes -= bytes
      flow.freshBytes += bytes
      flow.carriedBytes += bytes
      flow.movedAt = now
      this.#movedBytes += bytes
      if (flow.restBytes < CRUMB_BYTES) ended.push(flow)
    }
    return ended
  }

  private finish(flow: Flow<L>): void {
    // Another one's end may have closed it.
    const load = flow.closed ? undefined : flow.loads.shift()
    if (!load) return
    flow.restBytes = flow.loads[0]?.bytes ?? 0
    this.#finished(flow, load)
    flow.freshBytes = 0
  }
}

function canMove<L extends Load>(flow: Flow<L>): boolean {
  if (flow.restBytes < CRUMB_BYTES) return false
  for (const port of flow.ports) if (port.left < CRUMB_BYTES) return false
  return true
}

/** What each port has left, in equal shares for the flows that are still open. */
function shareOut<L extends Load>(open: readonly Flow<L>[]): void {
  for (const flow of open) for (const port of flow.ports) port.claims++
  for (const flow of open) {
    for (const port of flow.ports) {
      if (port.claims === 0) continue
      port.share = port.left / port.claims
      port.claims = 0
    }
  }
}
