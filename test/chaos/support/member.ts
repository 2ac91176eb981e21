import { MeshNode, type NodeOptions } from '../../support/node.ts'
import type { ManagedProcess } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { Link } from './link.ts'
import type { SmallDisk } from './small-disk.ts'

/** Bans that no honest peer can earn. */
const BAN_FOR_LYING = /"reason":"(wrong-bytes|wrong-map|malformed)".*banned a peer/

export interface MemberOptions extends Omit<NodeOptions, 'flags'> {
  readonly zone: string
  readonly secretFile: string
  /** The way to it; all others come by it. */
  readonly link: Link
  /** The disk of its own that it has, if it has one. */
  readonly disk?: SmallDisk
}

/** A node to which things happen. */
export class Member {
  readonly node: MeshNode
  readonly zone: string
  readonly link: Link
  readonly disk: SmallDisk | undefined
  /** What its store held when it started last, in bytes. */
  heldAtStart = 0
  /** Whether something is happening to it. */
  afflicted = false
  readonly #processes: ManagedProcess[] = []
  #up = Promise.withResolvers<void>()
  /** What must be there when it is back. */
  #kept = { blobs: 0, bytes: 0 }

  private constructor(node: MeshNode, { zone, link, disk }: MemberOptions) {
    this.node = node
    this.zone = zone
    this.link = link
    this.disk = disk
    this.#processes.push(node.process)
    this.#up.resolve()
  }

  static async start(sandbox: Sandbox, options: MemberOptions): Promise<Member> {
    const { zone, secretFile, link, settings = {} } = options
    const node = await MeshNode.start(sandbox, {
      ...options,
      mesh: link.behind,
      settings: { ...settings, mesh: { announce: [link.address] } },
      flags: ['--zone', zone, '--secret-file', secretFile]
    })
    return new Member(node, options)
  }

  /** Resolves while it runs, or once it does again. */
  get up(): Promise<void> {
    return this.#up.promise
  }

  /** SIGKILL: it may lose the latest pieces, and no blob that was whole. */
  async kill(): Promise<void> {
    this.#kept = { blobs: (await this.node.status()).store.blobs, bytes: 0 }
    this.#up = Promise.withResolvers()
    await this.node.kill()
  }

  /** SIGTERM: it loses nothing. */
  async stop(): Promise<void> {
    this.#kept = (await this.node.status()).store
    this.#up = Promise.withResolvers()
    await this.node.stop()
  }

  /** Starts it again; nobody pulls from it before its store was looked at. @throws when something is lost */
  async restart(): Promise<void> {
    await this.node.restart({ until: 'live' })
    this.#processes.push(this.node.process)
    const { store } = await this.node.status()
    if (store.blobs < this.#kept.blobs || store.bytes < this.#kept.bytes) {
      throw new Error(`${this.node.name} held ${JSON.stringify(this.#kept)}, and now ${JSON.stringify(store)}`)
    }
    this.heldAtStart = store.bytes
    this.#up.resolve()
  }

  /** Lines of its log, over all its lives, in which it shut a peer out for what no honest one does. */
  bansForLying(): string[] {
    return this.#processes.flatMap(({ log }) => log.findAll(BAN_FOR_LYING))
  }
}
