import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Answer, eventually, HANG_MS } from './http.ts'
import { parseMetrics, type Sample, sumOf } from './metrics.ts'
import { HERE, type Place } from './place.ts'
import type { Exit, ManagedProcess } from './process.ts'
import type { Sandbox } from './sandbox.ts'

/** The command as a user runs it. */
export const LAYERMESH = join(import.meta.dirname, '../../packages/cli/bin/layermesh')

const LOOPBACK = '127.0.0.1:0'
/** A busy machine may take longer to find what there is than the 800 ms that nodes have by default. */
const PULL = { deadline: '10s' }
const PROBE = { live: 'livez', ready: 'readyz' } as const

/** What nodes join through: another node, or what leads to one. */
export interface Contact {
  /** Full multiaddrs. */
  readonly meshAddresses: readonly string[]
}

export interface NodeOptions {
  readonly name: string
  /** @default 'node' */
  readonly role?: 'seed' | 'node'
  readonly join?: readonly Contact[]
  /** The node that signs tags; a seed trusts itself. */
  readonly seed?: MeshNode
  /** Settings for its configuration file, such as those that have no flag. @default `pull.deadline` is 10 s */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Other flags of `layermesh node`. */
  readonly flags?: readonly string[]
  /** Multiaddr where other nodes reach it. @default at its place, with a port that the system chooses */
  readonly mesh?: string
  /** Where it runs; its mesh listens there, registry and admin API on the loopback. @default HERE */
  readonly place?: Place
  readonly startTimeoutMs?: number
  /** Added to what every child has of the environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** Live: it answers. Ready: it has joined as well. */
type Condition = keyof typeof PROBE

/** What `DIR/node.json` says of a node that has started. */
interface Addresses {
  readonly pid: number
  readonly registry: string
  readonly mirror?: string
  readonly admin: string
  readonly meshAddresses: readonly string[]
  readonly peerId: string
}

/** What `GET /api/v1/status` gives at least. */
export interface NodeStatus {
  readonly peerId: string
  readonly role: string
  readonly zone: string
  readonly version: string
  readonly meshAddresses: readonly string[]
  /** How many nodes are connected. */
  readonly peers: number
  readonly store: {
    readonly blobs: number
    readonly bytes: number
    /** How many blobs are on their way here. */
    readonly arriving: number
    /** What content may take up, in bytes; undefined without a quota. */
    readonly limitBytes?: number
    /** Whether something was refused for want of space. */
    readonly full: boolean
  }
}

/** A `layermesh node` of the test's own, on ports that the system chose. */
export class MeshNode {
  readonly dataDirectory: string
  readonly #sandbox: Sandbox
  readonly #options: NodeOptions
  #process: ManagedProcess
  #addresses: Addresses

  private constructor(sandbox: Sandbox, options: NodeOptions, dataDirectory: string, started: Started) {
    this.#sandbox = sandbox
    this.#options = options
    this.dataDirectory = dataDirectory
    this.#process = started.process
    this.#addresses = started.addresses
  }

  /** Starts a node and waits until it is ready. */
  static async start(sandbox: Sandbox, options: NodeOptions): Promise<MeshNode> {
    const dataDirectory = await sandbox.makeDirectory(options.name)
    return new MeshNode(sandbox, options, dataDirectory, await startProcess(sandbox, options, dataDirectory, 'ready'))
  }

  /** Starts the node again on the same data; its ports are others than before. It is not ready while nobody it could join lives. */
  async restart({ until = 'ready' }: { readonly until?: Condition } = {}): Promise<void> {
    if (this.#process.running) throw new Error('stop or kill the node first')
    const { process, addresses } = await startProcess(this.#sandbox, this.#options, this.dataDirectory, until)
    this.#process = process
    this.#addresses = addresses
  }

  get name(): string {
    return this.#options.name
  }

  get process(): ManagedProcess {
    return this.#process
  }

  /** `http://127.0.0.1:PORT` of the registry. */
  get registryUrl(): string {
    return this.#addresses.registry
  }

  /** `http://127.0.0.1:PORT` of the mirror listener. @throws when there is none */
  get mirrorUrl(): string {
    const { mirror } = this.#addresses
    if (mirror === undefined) throw new Error(`${this.name} has no mirror; set registry.mirrorListen`)
    return mirror
  }

  /** `localhost:PORT`, as image names begin with it. */
  get registryHost(): string {
    return `localhost:${new URL(this.registryUrl).port}`
  }

  get adminUrl(): string {
    return this.#addresses.admin
  }

  /** Full multiaddrs, to join through. */
  get meshAddresses(): readonly string[] {
    return this.#addresses.meshAddresses
  }

  get peerId(): string {
    return this.#addresses.peerId
  }

  /** SIGTERM, and SIGKILL after a while. */
  stop(): Promise<Exit> {
    return this.#process.stop()
  }

  /** SIGKILL. */
  kill(): Promise<Exit> {
    return this.#process.kill()
  }

  async status(): Promise<NodeStatus> {
    const { status, body } = await this.#ask('/api/v1/status')
    if (status !== 200) throw new Error(`${this.name} answered ${status}: ${body.toString()}`)
    return JSON.parse(body.toString()) as NodeStatus
  }

  async metrics(): Promise<Sample[]> {
    return parseMetrics((await this.#ask('/metrics')).body.toString())
  }

  /** The sum of a metric over all samples that have these labels. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return sumOf(await this.metrics(), name, labels)
  }

  /** Payload bytes of content that this node has taken from other nodes. */
  receivedFromPeers(): Promise<number> {
    return this.metric('layermesh_received_bytes_total', { source: 'peer' })
  }

  /** The most memory that was ever resident, in bytes (proc(5), status: VmHWM). */
  async peakResidentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.#process.pid}/status`, 'utf8')
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }

  #ask(path: string): Promise<Answer> {
    return (this.#options.place ?? HERE).request(`${this.adminUrl}${path}`)
  }
}

interface Started {
  readonly process: ManagedProcess
  readonly addresses: Addresses
}

async function startProcess(
  sandbox: Sandbox,
  options: NodeOptions,
  dataDirectory: string,
  until: Condition
): Promise<Started> {
  const { startTimeoutMs = HANG_MS, place = HERE, env = {} } = options
  const settingsFile = `${dataDirectory}.yaml`
  // JSON is YAML.
  const settings = { pull: PULL, ...options.settings, upstreams: upstreamsOf(options), store: storeOf(options) }
  await writeFile(settingsFile, JSON.stringify(settings))
  const flags = ['--config', settingsFile, ...nodeFlags(options, dataDirectory)]
  const process = sandbox.start(options.name, ...place.command(LAYERMESH, ['node', ...flags]), { env })
  const addresses = await eventually(`${options.name} writes node.json`, startTimeoutMs, () =>
    readAddresses(process, join(dataDirectory, 'node.json'))
  )
  await eventually(`${options.name} becomes ${until}`, startTimeoutMs, async () => {
    if (!process.running) process.fail(`ended before it was ${until}`)
    return (await place.request(`${addresses.admin}/${PROBE[until]}`)).status === 200 || undefined
  })
  return { process, addresses }
}

/** How full the disk of this machine is, is no matter of a test that does not say so. */
function storeOf({ settings = {} }: NodeOptions): object {
  return { keepFree: '0B', ...(settings.store as object | undefined) }
}

/** No registry that the test did not name: nothing leaves this machine. */
function upstreamsOf({ settings = {} }: NodeOptions): object {
  return { default: 'none', others: 'none', ...(settings.upstreams as object | undefined) }
}

/** Undefined until this process has written the file; what an earlier one wrote does not count. */
async function readAddresses(process: ManagedProcess, path: string): Promise<Addresses | undefined> {
  if (!process.running) process.fail('ended before it had started')
  const text = await readFile(path, 'utf8').catch(() => undefined)
  const addresses = text === undefined ? undefined : (JSON.parse(text) as Addresses)
  return addresses?.pid === process.pid ? addresses : undefined
}

function nodeFlags(options: NodeOptions, data: string): string[] {
  const { role = 'node', join: contacts = [], seed, flags = [], place = HERE } = options
  const { mesh = `/ip4/${place.address}/tcp/0` } = options
  return [
    ...['--role', role, '--data', data, '--listen', LOOPBACK, '--admin', LOOPBACK, '--mesh', mesh],
    ...contacts.flatMap(({ meshAddresses }) => meshAddresses.flatMap((address) => ['--join', address])),
    ...(seed === undefined ? [] : ['--trust', seed.peerId]),
    ...flags
  ]
}
