import { EventEmitter, once } from 'node:events'
import { createConnection, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import type { Contact, MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'

const LOOPBACK = '127.0.0.1'
/** Also of this machine, and nothing else listens there. */
const BEHIND = '127.0.0.2'

/**
 * The way to a node for those who join through it: a TCP relay that can let so many bytes come from the node on each
 * connection and no more, so that a fault hits in the middle of a pull, however quick the machine is; or none at all in
 * either direction. It leads to the node also after a restart, where the node may listen on another port.
 */
export class Link implements Contact {
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #changes = new EventEmitter<{ held: [] }>()
  #node: MeshNode | undefined
  #allowance = Number.POSITIVE_INFINITY
  #isCut = false

  private constructor(server: Server) {
    this.#server = server
  }

  /** A link that ends at {@link behind}, where a node may listen that is told to announce {@link address}. */
  static async open(sandbox: Sandbox): Promise<Link> {
    const server = createServer({ pauseOnConnect: true })
    const link = new Link(server)
    server.on('connection', (client) => link.#relay(client))
    server.listen(0, LOOPBACK)
    await once(server, 'listening')
    sandbox.defer(() => link.#close())
    return link
  }

  /** A link to a node that has started; those who learn of it from others may find it without this link. */
  static async to(sandbox: Sandbox, node: MeshNode): Promise<Link> {
    const link = await Link.open(sandbox)
    link.#node = node
    return link
  }

  /** Where the link begins. */
  get address(): string {
    return `/ip4/${LOOPBACK}/tcp/${this.#port}`
  }

  /** Where a node can listen to which no other way leads. */
  get behind(): string {
    return `/ip4/${BEHIND}/tcp/${this.#port}`
  }

  get meshAddresses(): readonly string[] {
    return [this.#node === undefined ? this.address : `${this.address}/p2p/${this.#node.peerId}`]
  }

  /** Lets at least `bytes` more come from the node on each connection, those to come too; then holds what follows. */
  holdAfter(bytes: number): void {
    this.#allowance = bytes
    for (const connection of this.#connections) connection.allow(bytes)
  }

  /** Resolves when `count` of the connections have let through what they may; a peer that hangs up may come again. */
  async held(count = 1): Promise<void> {
    const isHeld = () => [...this.#connections].filter((connection) => connection.isHeld).length >= count
    while (!isHeld()) await once(this.#changes, 'held')
  }

  /** Lets everything through again. */
  release(): void {
    this.holdAfter(Number.POSITIVE_INFINITY)
  }

  /** Has nothing come through in either direction, not even that a connection ends, until the link is healed. */
  cut(): void {
    this.#isCut = true
    for (const connection of this.#connections) connection.cut()
  }

  /** What was under way arrives late. */
  heal(): void {
    this.#isCut = false
    for (const connection of this.#connections) connection.heal()
  }

  #relay(client: Socket): void {
    const connection = new Connection(client, createConnection(this.#end), this.#allowance, () =>
      this.#changes.emit('held')
    )
    if (this.#isCut) connection.cut()
    this.#connections.add(connection)
    client.once('close', () => this.#connections.delete(connection))
  }

  get #end(): NetConnectOpts {
    if (this.#node === undefined) return { host: BEHIND, port: this.#port }
    return { host: LOOPBACK, port: portOf(this.#node) }
  }

  get #port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the link is closed')
    return address.port
  }

  async #close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** One connection through a link; when one half ends, so does the other. */
class Connection {
  readonly #client: Socket
  readonly #node: Socket
  readonly #down: Flow
  readonly #up: Flow
  #isCut = false
  #ended = false

  constructor(client: Socket, node: Socket, allowance: number, onHeld: () => void) {
    this.#client = client
    this.#node = node
    this.#down = new Flow(node, client, allowance, onHeld)
    this.#up = new Flow(client, node, Number.POSITIVE_INFINITY)
    for (const socket of [client, node]) {
      socket.setNoDelay(true)
      socket.once('close', () => this.#end())
      // The close that follows says it all.
      socket.on('error', () => {})
    }
  }

  get isHeld(): boolean {
    return this.#down.isHeld
  }

  allow(bytes: number): void {
    this.#down.allow(bytes)
  }

  cut(): void {
    this.#isCut = true
    for (const flow of [this.#down, this.#up]) flow.stop()
  }

  heal(): void {
    this.#isCut = false
    if (this.#ended) return this.destroy()
    for (const flow of [this.#down, this.#up]) flow.go()
  }

  destroy(): void {
    this.#client.destroy()
    this.#node.destroy()
  }

  #end(): void {
    this.#ended = true
    if (!this.#isCut) this.destroy()
  }
}

/** What goes one way through a connection. */
class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #onHeld: () => void
  #left: number
  #stopped = false

  constructor(from: Socket, to: Socket, allowance: number, onHeld = () => {}) {
    this.#from = from
    this.#to = to
    this.#left = allowance
    this.#onHeld = onHeld
    from.on('data', (chunk) => this.#pass(chunk))
    to.on('drain', () => this.#resume())
    this.#resume()
  }

  get isHeld(): boolean {
    return this.#left <= 0
  }

  allow(bytes: number): void {
    this.#left = bytes
    this.#resume()
  }

  stop(): void {
    this.#stopped = true
    this.#from.pause()
  }

  go(): void {
    this.#stopped = false
    this.#resume()
  }

  #pass(chunk: Buffer): void {
    this.#left -= chunk.length
    const roomy = this.#to.write(chunk)
    if (!roomy || this.#left <= 0) this.#from.pause()
    if (this.#left <= 0) this.#onHeld()
  }

  #resume(): void {
    if (!this.#stopped && this.#left > 0 && !this.#to.writableNeedDrain) this.#from.resume()
  }
}

function portOf({ meshAddresses: [address = ''] }: MeshNode): number {
  const [, port] = /\/tcp\/(\d+)/.exec(address) ?? []
  return Number(port)
}
