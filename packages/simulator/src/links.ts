import type { Clock } from './clock.ts'
import { Flow, FluidNetwork, type Port } from './network.ts'
import type { Message, Peer, Transfer } from './peer.ts'
import type { Scenario } from './scenario.ts'

/** What the network does with a node. */
export interface Endpoint extends Peer {
  readonly origin: boolean
  /** Whether it takes part in the network at all. */
  readonly alive: boolean
  readonly frozen: boolean
  readonly lies: boolean
  /** More bytes of a piece that it sends were taken; with `finished`, the last ones. */
  sent(transfer: Transfer, bytes: number, finished: boolean): void
}

interface Connection {
  readonly ends: readonly [Endpoint, Endpoint]
  /** From the first to the second, and back; made when there is something to send. */
  readonly flows: [Flow<Transfer> | undefined, Flow<Transfer> | undefined]
  open: boolean
}

interface Place {
  readonly node: Endpoint
  readonly up: Port
  readonly down: Port
  readonly upBytesPerMs: number
  readonly downBytesPerMs: number
  readonly connections: Map<Peer, Connection>
}

const STALLS_EVERY_MS = 1_000

/** Who is connected to whom, and how messages and pieces go from one to the other: with delay, and over links that bound them. */
export class Links {
  readonly network: FluidNetwork<Transfer>
  readonly #scenario: Scenario
  readonly #clock: Clock
  readonly #nodes = new Map<Peer, Place>()
  readonly #farPorts = new Map<string, Port>()
  #toldAt = 0
  #stallsAt = 0

  constructor(scenario: Scenario, clock: Clock) {
    this.#scenario = scenario
    this.#clock = clock
    this.network = new FluidNetwork((flow, transfer) => this.finished(flow, transfer))
  }

  /** A node with these rates, in bytes per second. */
  add(node: Endpoint, up: number, down: number): void {
    this.#nodes.set(node, {
      node,
      up: this.network.port(up / 1000),
      down: this.network.port(down / 1000),
      upBytesPerMs: up / 1000,
      downBytesPerMs: down / 1000,
      connections: new Map()
    })
  }

  /** Bytes that a node has sent. */
  uploadedBy(node: Peer): number {
    return this.#nodes.get(node)?.up.carriedBytes ?? 0
  }

  /** Bytes over each link between zones, by `from>to`. */
  farBytes(): Map<string, number> {
    return new Map([...this.#farPorts].map(([name, { carriedBytes }]) => [name, carriedBytes]))
  }

  connect(from: Endpoint, to: Endpoint): boolean {
    if (!from.alive || !to.alive) return false
    if (!this.isConnected(from, to)) {
      const connection: Connection = { ends: [from, to], flows: [undefined, undefined], open: true }
      this.#nodes.get(from)?.connections.set(to, connection)
      this.#nodes.get(to)?.connections.set(from, connection)
    }
    return true
  }

  isConnected(from: Peer, to: Peer): boolean {
    return this.#nodes.get(from)?.connections.has(to) ?? false
  }

  /** Ends the connection; each end learns it: the one who ends it at once. */
  disconnect(from: Endpoint, to: Endpoint): void {
    const connection = this.connection(from, to)
    if (!connection) return
    connection.open = false
    for (const flow of connection.flows) if (flow) this.network.close(flow)
    this.#nodes.get(from)?.connections.delete(to)
    this.#nodes.get(to)?.connections.delete(from)
    if (from.alive) from.lost(to)
    this.#clock.after(this.latency(from, to), () => to.lost(from))
  }

  /** Ends all connections of a node. */
  cutOff(node: Endpoint): void {
    for (const { ends } of [...(this.#nodes.get(node)?.connections.values() ?? [])]) {
      this.disconnect(node, ends[0] === node ? ends[1] : ends[0])
    }
  }

  /** A node whose links carry nothing, or carry as before. */
  setMoving(node: Peer, moving: boolean): void {
    const ports = this.#nodes.get(node)
    if (!ports) return
    ports.up.bytesPerMs = moving ? ports.upBytesPerMs : 0
    ports.down.bytesPerMs = moving ? ports.downBytesPerMs : 0
  }

  post(from: Peer, to: Peer, message: Message, extraMs = 0): void {
    const connection = this.connection(from, to)
    if (!connection) return
    this.#clock.after(this.latency(from, to) + extraMs, () => {
      if (connection.open) to.receive(message, from)
    })
  }

  /** The same message to many: one entry in the calendar for each distance. */
  postAll(from: Peer, to: readonly Peer[], message: Message): void {
    for (const near of [true, false]) {
      const connections = to
        .filter((peer) => (peer.zone === from.zone) === near)
        .flatMap((peer) => this.connection(from, peer) ?? [])
      if (connections.length === 0) continue
      this.#clock.after(near ? this.#scenario.nearLatencyMs : this.#scenario.farLatencyMs, () => {
        for (const { open, ends } of connections) {
          if (open) (ends[0] === from ? ends[1] : ends[0]).receive(message, from)
        }
      })
    }
  }

  send(transfer: Transfer): void {
    const connection = this.connection(transfer.giver, transfer.asker)
    if (!connection) return
    const direction = connection.ends[0] === transfer.giver ? 0 : 1
    connection.flows[direction] ??= this.flow(transfer.giver, transfer.asker)
    this.network.send(connection.flows[direction], transfer, this.#clock.now)
  }

  /** Lets the bytes flow for one step, and tells both ends of them. */
  step(): void {
    this.network.step(this.#clock.stepMs, this.#clock.now)
    const { now } = this.#clock
    if (now - this.#toldAt >= this.#scenario.progressEveryMs) {
      this.#toldAt = now
      for (const flow of [...this.network.active]) this.tellProgress(flow)
    }
    if (now - this.#stallsAt >= STALLS_EVERY_MS) {
      this.#stallsAt = now
      for (const flow of [...this.network.active]) this.cutStalled(flow)
    }
  }

  private tellProgress(flow: Flow<Transfer>): void {
    const [transfer] = flow.loads
    const bytes = flow.takeProgress()
    if (!transfer || bytes === 0) return
    this.endpoint(transfer.giver)?.sent(transfer, bytes, false)
    this.post(transfer.giver, transfer.asker, { type: 'data', transfer, bytes })
  }

  private cutStalled(flow: Flow<Transfer>): void {
    const [transfer] = flow.loads
    if (!transfer || this.#clock.now - flow.movedAt < this.#scenario.sendStallMs) return
    const [giver, asker] = [this.endpoint(transfer.giver), this.endpoint(transfer.asker)]
    if (giver && asker && !giver.frozen) this.disconnect(giver, asker)
  }

  private finished(flow: Flow<Transfer>, transfer: Transfer): void {
    const bytes = flow.takeProgress()
    const giver = this.endpoint(transfer.giver)
    const message = { type: 'piece', transfer, bytes, right: !giver?.lies } as const
    this.post(transfer.giver, transfer.asker, message, this.#scenario.verifyMs)
    giver?.sent(transfer, bytes, true)
  }

  private flow(from: Peer, to: Peer): Flow<Transfer> {
    const ports = [this.#nodes.get(from)?.up, this.#nodes.get(to)?.down, this.farPort(from, to)]
    return new Flow(ports.filter((port) => port !== undefined))
  }

  private farPort(from: Peer, to: Peer): Port | undefined {
    if (from.zone === to.zone) return undefined
    const name = `${from.zone}>${to.zone}`
    const rate = this.#scenario.farLinkBytesPerSecond
    const port = this.#farPorts.get(name) ?? this.network.port(rate === 0 ? Number.POSITIVE_INFINITY : rate / 1000)
    this.#farPorts.set(name, port)
    return port
  }

  private connection(from: Peer, to: Peer): Connection | undefined {
    return this.#nodes.get(from)?.connections.get(to)
  }

  private endpoint(peer: Peer): Endpoint | undefined {
    return this.#nodes.get(peer)?.node
  }

  private latency(from: Peer, to: Peer): number {
    return from.zone === to.zone ? this.#scenario.nearLatencyMs : this.#scenario.farLatencyMs
  }
}
