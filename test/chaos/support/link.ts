import { once } from 'node:events'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import type { Contact, MeshNode } from '../../support/node.ts'
import type { Sandbox } from '../../support/sandbox.ts'

/**
 * The way to a node for those who join through it: a TCP relay that can let so many bytes come from the node on each
 * connection and no more, so that a fault hits in the middle of a pull, however quick the machine is. It leads to the
 * node also after a restart, where the node listens on another port.
 */
export class Link implements Contact {
  readonly #node: MeshNode
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  #allowance = Number.POSITIVE_INFINITY

  private constructor(node: MeshNode, server: Server) {
    this.#node = node
    this.#server = server
  }

  static async to(sandbox: Sandbox, node: MeshNode): Promise<Link> {
    const server = createServer({ pauseOnConnect: true })
    const link = new Link(node, server)
    server.on('connection', (client) => link.#relay(client))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    sandbox.defer(() => link.#close())
    return link
  }

  get meshAddresses(): readonly string[] {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the link is closed')
    return [`/ip4/127.0.0.1/tcp/${address.port}/p2p/${this.#node.peerId}`]
  }

  /** Lets at least `bytes` more come from the node on each connection, those to come too; then holds what follows. */
  holdAfter(bytes: number): void {
    this.#allowance = bytes
    for (const connection of this.#connections) connection.allow(bytes)
  }

  /** Resolves when `count` of the present connections have let through what they may. */
  async held(count = 1): Promise<void> {
    const holds = [...this.#connections].map(({ held }) => held)
    if (holds.length < count) throw new Error(`${holds.length} connections go through the link to ${this.#node.name}`)
    for (let left = count; left > 0; left--) {
      const index = await Promise.race(holds.map((hold, i) => hold.then(() => i)))
      holds.splice(index, 1)
    }
  }

  /** Lets everything through again. */
  release(): void {
    this.holdAfter(Number.POSITIVE_INFINITY)
  }

  #relay(client: Socket): void {
    const connection = new Connection(client, createConnection(portOf(this.#node), '127.0.0.1'), this.#allowance)
    this.#connections.add(connection)
    client.once('close', () => this.#connections.delete(connection))
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
  #hold = Promise.withResolvers<void>()
  #left: number

  constructor(client: Socket, node: Socket, allowance: number) {
    this.#client = client
    this.#node = node
    this.#left = allowance
    client.pipe(node)
    node.on('data', (chunk) => this.#pass(chunk))
    client.on('drain', () => this.#resume())
    for (const socket of [client, node]) {
      socket.setNoDelay(true)
      socket.once('close', () => this.destroy())
      // The close that follows says it all.
      socket.on('error', () => {})
    }
  }

  get held(): Promise<void> {
    return this.#hold.promise
  }

  allow(bytes: number): void {
    this.#left = bytes
    this.#hold = Promise.withResolvers<void>()
    this.#resume()
  }

  destroy(): void {
    this.#client.destroy()
    this.#node.destroy()
  }

  #pass(chunk: Buffer): void {
    this.#left -= chunk.length
    const roomy = this.#client.write(chunk)
    if (!roomy || this.#left <= 0) this.#node.pause()
    if (this.#left <= 0) this.#hold.resolve()
  }

  #resume(): void {
    if (this.#left > 0 && !this.#client.writableNeedDrain) this.#node.resume()
  }
}

function portOf({ meshAddresses: [address = ''] }: MeshNode): number {
  const [, port] = /\/tcp\/(\d+)/.exec(address) ?? []
  return Number(port)
}
