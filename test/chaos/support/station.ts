import type { Host } from '../../support/network/host.ts'
import { MeshNode, type NodeOptions } from '../../support/node.ts'
import { RemoteModule } from '../../support/remote-module.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { PullEnd } from './known-blob.ts'

type Client = RemoteModule<typeof import('./host-client.ts')>

/** A blob by what makes it. */
export interface BlobSpec {
  readonly name: string
  readonly size: number
}

/** A pull on another host. */
export interface DistantPull {
  /** Resolves when so many bytes have come. */
  reached(bytes: number): Promise<void>
  readonly end: Promise<PullEnd>
}

/** A host with a node and a client of it. */
export class Station {
  readonly host: Host
  readonly node: MeshNode
  readonly #client: Client

  private constructor(host: Host, node: MeshNode, client: Client) {
    this.host = host
    this.node = node
    this.#client = client
  }

  static async start(sandbox: Sandbox, host: Host, options: Omit<NodeOptions, 'place' | 'name'>): Promise<Station> {
    const [node, client] = await Promise.all([
      MeshNode.start(sandbox, { ...options, name: host.name, place: host }),
      RemoteModule.start<typeof import('./host-client.ts')>(sandbox, new URL('./host-client.ts', import.meta.url), host)
    ])
    return new Station(host, node, client)
  }

  push({ name, size }: BlobSpec): Promise<void> {
    return this.#client.call('push', name, size, this.node.registryUrl)
  }

  /** Begins to pull. */
  async pull({ name, size }: BlobSpec): Promise<DistantPull> {
    const number = await this.#client.call('pull', name, size, this.node.registryUrl)
    const end = this.#client.call('end', number)
    // Whoever awaits it is told; until then a test may be busy elsewhere.
    end.catch(() => {})
    return { reached: (bytes) => this.#client.call('reached', number, bytes), end }
  }
}
