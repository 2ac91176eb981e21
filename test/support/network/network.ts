import type { Sandbox } from '../sandbox.ts'
import { Host } from './host.ts'
import { attach, BRIDGE, connect, type LinkEnd } from './link.ts'
import { Namespace, removeLeftNamespaces } from './namespace.ts'

const HOST_DEVICE = 'eth0'
const PREFIX_LENGTH = 16
const MAX_HOSTS_PER_SWITCH = 254

/** To which hosts are connected, and other switches. */
export interface Switch {
  readonly namespace: Namespace
  readonly number: number
  ports: number
}

/**
 * Hosts and switches on this machine, joined by links of a given rate: each host is a network namespace, each switch a
 * bridge in one, each link a pair of devices. Nothing of it touches the machine's own network. All goes with the sandbox.
 */
export class Network {
  readonly #sandbox: Sandbox
  readonly #prefix: string
  readonly #switches: Switch[] = []

  private constructor(sandbox: Sandbox, prefix: string) {
    this.#sandbox = sandbox
    this.#prefix = prefix
  }

  /** @param prefix begins the names of all namespaces; those that an earlier process of this prefix left are removed */
  static async create(sandbox: Sandbox, prefix: string): Promise<Network> {
    await removeLeftNamespaces(prefix)
    return new Network(sandbox, prefix)
  }

  async addSwitch(name: string): Promise<Switch> {
    const namespace = await Namespace.create(this.#sandbox, this.#prefix, name)
    await namespace.ip('link', 'add', BRIDGE, 'type', 'bridge')
    await namespace.ip('link', 'set', BRIDGE, 'up')
    const added = { namespace, number: this.#switches.length, ports: 0 }
    this.#switches.push(added)
    return added
  }

  /** A host on a link that passes so much in each direction. */
  async addHost(on: Switch, name: string, bitsPerSecond: number): Promise<Host> {
    const namespace = await Namespace.create(this.#sandbox, this.#prefix, name)
    const port = nextPort(on)
    if (on.ports > MAX_HOSTS_PER_SWITCH) throw new Error(`a switch has at most ${MAX_HOSTS_PER_SWITCH} hosts`)
    const address = `10.77.${on.number}.${on.ports}`
    const end = { namespace, device: HOST_DEVICE }
    await connect(end, port, bitsPerSecond)
    await attach(port)
    await namespace.ip('address', 'add', `${address}/${PREFIX_LENGTH}`, 'dev', HOST_DEVICE)
    return new Host(this.#sandbox, name, address, end, port)
  }

  /** Joins two switches by a link that passes so much in each direction. @returns its end at `a` */
  async join(a: Switch, b: Switch, bitsPerSecond: number): Promise<LinkEnd> {
    const [end, other] = [nextPort(a), nextPort(b)]
    await connect(end, other, bitsPerSecond)
    await attach(end)
    await attach(other)
    return end
  }
}

function nextPort(on: Switch): LinkEnd {
  on.ports += 1
  return { namespace: on.namespace, device: `port${on.ports}` }
}
