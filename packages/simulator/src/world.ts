import { Clock } from './clock.ts'
import { type Fault, planFaults } from './faults.ts'
import { Links } from './links.ts'
import type { Message, Observer, Peer, Surroundings, Transfer } from './peer.ts'
import { makeBlobs, populate, type Resident } from './population.ts'
import { Random } from './random.ts'
import { SCENARIO_DEFAULTS, type Scenario } from './scenario.ts'
import type { VirtualBlob } from './virtual-blob.ts'
import { VirtualNode } from './virtual-node.ts'

/** What had happened by a moment, over all nodes. */
export interface Sample {
  readonly atMs: number
  readonly movedBytes: number
  readonly originBytes: number
  readonly finishedNodes: number
}

const MAX_STEP_MS = 10
const STEPS_PER_PIECE = 4
const SAMPLE_EVERY_MS = 100

/** Nodes, what is between them, and the time: built from a scenario, run until every honest node has the image. */
export class World implements Surroundings {
  readonly scenario: Scenario
  readonly clock: Clock
  readonly random: Random
  readonly observer: Observer
  readonly links: Links
  readonly blobs: readonly VirtualBlob[]
  readonly residents: readonly Resident[]
  /** In the order of the residents. */
  readonly nodes: readonly VirtualNode[]
  readonly origins: readonly VirtualNode[]
  /** Honest nodes that are expected to finish. */
  readonly expected: readonly VirtualNode[]
  readonly samples: Sample[] = []
  readonly #unfinished: Set<VirtualNode>
  #lastEventMs = 0
  #progress = { bytes: 0, atMs: 0 }

  constructor(scenario: Partial<Scenario> = {}, observer: Observer = {}) {
    this.scenario = { ...SCENARIO_DEFAULTS, ...scenario }
    this.observer = observer
    this.random = new Random(this.scenario.seed)
    this.blobs = makeBlobs(this.scenario)
    this.residents = populate(this.scenario, this.random)
    this.clock = new Clock(this.stepMs())
    this.links = new Links(this.scenario, this.clock)
    this.nodes = this.settle()
    this.origins = this.nodes.filter(({ origin }) => origin)
    this.expected = this.plan()
    this.#unfinished = new Set(this.expected)
  }

  get imageBytes(): number {
    return this.blobs.reduce((sum, { size }) => sum + size, 0)
  }

  /** Nodes that should have finished and did not. */
  get unfinished(): readonly VirtualNode[] {
    return [...this.#unfinished]
  }

  /** Runs until all that are expected to have the image, or nothing has come anywhere for too long. */
  run(): void {
    let sampledAt = 0
    while (this.#unfinished.size > 0 && this.moveOn()) {
      if (this.clock.now - sampledAt < SAMPLE_EVERY_MS) continue
      sampledAt = this.clock.now
      this.sample()
    }
    if (this.samples.at(-1)?.atMs !== this.clock.now) this.sample()
  }

  /** One step. @returns false when there is no sense in another one */
  private moveOn(): boolean {
    const { clock, links, scenario } = this
    clock.run()
    if (links.network.idle) {
      if (clock.entries === 0) return false
      clock.skip()
      clock.run()
    }
    clock.advance()
    links.step()
    const { movedBytes } = links.network
    if (movedBytes > this.#progress.bytes) this.#progress = { bytes: movedBytes, atMs: clock.now }
    const quietMs = clock.now - Math.max(this.#progress.atMs, this.#lastEventMs)
    return quietMs < scenario.stuckAfterMs && clock.now < scenario.endAfterMs
  }

  // --- what nodes ask of the world

  connect(from: Peer, to: Peer): boolean {
    const [one, other] = [this.node(from), this.node(to)]
    return !one.isBanned(other) && !other.isBanned(one) && this.links.connect(one, other)
  }

  isConnected(from: Peer, to: Peer): boolean {
    return this.links.isConnected(from, to)
  }

  disconnect(from: Peer, to: Peer): void {
    this.links.disconnect(this.node(from), this.node(to))
  }

  post(from: Peer, to: Peer, message: Message): void {
    this.links.post(from, to, message)
  }

  postAll(from: Peer, to: readonly Peer[], message: Message): void {
    this.links.postAll(from, to, message)
  }

  send(transfer: Transfer): void {
    this.links.send(transfer)
  }

  // --- building

  /** A step is a part of the time of a piece, so that what is rounded to it does not matter. */
  private stepMs(): number {
    if (this.scenario.stepMs > 0) return this.scenario.stepMs
    const fastest = Math.max(...this.residents.map((one) => Math.max(one.upBytesPerSecond, one.downBytesPerSecond)))
    const pieceMs = ((this.blobs[0]?.pieceLength ?? 0) / fastest) * 1000
    return Math.min(MAX_STEP_MS, Math.max(1, Math.floor(pieceMs / STEPS_PER_PIECE)))
  }

  private settle(): VirtualNode[] {
    const directory = new Map<string, VirtualNode>()
    for (const resident of this.residents) {
      const node = new VirtualNode({ ...resident, blobs: this.blobs, directory }, this)
      directory.set(node.id, node)
      this.links.add(node, resident.upBytesPerSecond, resident.downBytesPerSecond)
    }
    return [...directory.values()]
  }

  /** Enters arrivals and faults into the calendar. @returns the nodes that are to be waited for */
  private plan(): VirtualNode[] {
    const arrivals = new Map<VirtualNode, number>()
    for (const [index, node] of this.nodes.entries()) {
      const atMs = this.residents[index]?.arrivesMs ?? 0
      this.enter(atMs, () => node.start())
      if (!node.origin && !node.lies) arrivals.set(node, atMs)
    }
    const faults = planFaults(this.scenario, arrivals, this.random)
    for (const fault of faults.events) this.enter(fault.atMs, () => this.strike(fault))
    for (const node of faults.lost) arrivals.delete(node)
    return [...arrivals.keys()]
  }

  private enter(atMs: number, happen: () => void): void {
    this.#lastEventMs = Math.max(this.#lastEventMs, atMs)
    this.clock.after(atMs, happen)
  }

  private strike({ kind, node }: Fault<VirtualNode>): void {
    switch (kind) {
      case 'crash':
        node.crash()
        return this.links.cutOff(node)
      case 'restart':
        return node.start()
      case 'freeze':
        node.freeze()
        return this.links.setMoving(node, false)
      case 'thaw':
        this.links.setMoving(node, true)
        return node.thaw()
    }
  }

  // --- running

  private sample(): void {
    for (const node of this.#unfinished) if (node.finished) this.#unfinished.delete(node)
    this.samples.push({
      atMs: this.clock.now,
      movedBytes: this.links.network.movedBytes,
      originBytes: this.origins.reduce((sum, origin) => sum + this.links.uploadedBy(origin), 0),
      finishedNodes: this.expected.length - this.#unfinished.size
    })
  }

  private node(peer: Peer): VirtualNode {
    const node = this.nodes[peer.index]
    if (!node) throw new RangeError(`no node ${peer.index}`)
    return node
  }
}
