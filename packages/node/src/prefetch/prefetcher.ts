import { setTimeout as sleep } from 'node:timers/promises'
import type { MeshMember, PrefetchClient, PrefetchReport, PrefetchRequest } from '@layermesh/mesh'
import { isOciError, parseImageReference } from '@layermesh/oci'
import PQueue from 'p-queue'
import { AdminError, describe, type Failure } from '../admin/errors.ts'
import type { NodePrefetch, PrefetchResult } from '../admin/view.ts'
import type { PrefetchJobs } from './prefetch-jobs.ts'
import { readPlatform } from './prefetch-service.ts'

export interface PrefetcherComponents {
  /** This node, which fetches as well where it is among the chosen. */
  readonly self: MeshMember
  readonly client: PrefetchClient
  readonly jobs: Pick<PrefetchJobs, 'follow'>
  /** The members that are connected. */
  connected(): readonly MeshMember[]
  /** All other members that can be found. */
  members(signal: AbortSignal): Promise<readonly MeshMember[]>
}

export interface PrefetcherOptions {
  /** Nodes that are asked at one time; the others wait. */
  readonly concurrency: number
  /** A node that could not be reached once by then is given up. */
  readonly unreachableAfterMs: number
  /** Pauses between attempts to reach a node. */
  readonly minPauseMs: number
  readonly maxPauseMs: number
  /** A node that came back may not have found the mesh again: so often it is asked once more for what it did not find. */
  readonly retriesAfterReturn: number
}

const DEFAULTS: PrefetcherOptions = Object.freeze({
  concurrency: 64,
  unreachableAfterMs: 30_000,
  minPauseMs: 1_000,
  maxPauseMs: 15_000,
  retriesAfterReturn: 5
})

/** Which nodes are to have an image: all, or these and those of these zones. */
export interface PrefetchTargets {
  readonly nodes: readonly string[]
  readonly zones: readonly string[]
  readonly all: boolean
}

type OnNode = (node: NodePrefetch) => void

/** Has chosen nodes of the mesh fetch an image, each in its ordinary way, so that they take it from each other. */
export class Prefetcher {
  readonly #components: PrefetcherComponents
  readonly #options: PrefetcherOptions

  constructor(components: PrefetcherComponents, options: Partial<PrefetcherOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
  }

  /**
   * Resolves when every node is done or given up; one that was reached and is lost is waited for until the deadline.
   * @throws {OciError} for a reference or platform that is none; {AdminError} NO_NODES
   */
  async prefetch(
    request: PrefetchRequest,
    targets: PrefetchTargets,
    onNode: OnNode,
    signal: AbortSignal
  ): Promise<PrefetchResult> {
    parseImageReference(request.reference)
    readPlatform(request.platform)
    const deadline = AbortSignal.timeout(request.deadlineMs)
    const nodes = await this.#choose(targets, AbortSignal.any([signal, deadline]))
    if (nodes.length === 0) {
      throw new AdminError(404, 'NO_NODES', `no node is known in ${targets.zones.join(', ')}; see: layermesh peers`)
    }
    const queue = new PQueue({ concurrency: this.#options.concurrency })
    const outcomes = await Promise.all(
      nodes.map((node) =>
        new OneNode(node, request, onNode, this.#components, this.#options).run(queue, signal, deadline)
      )
    )
    const failed = outcomes.filter(({ state }) => state === 'failed').length
    return { nodes: nodes.length, failed }
  }

  /** In zones and the whole mesh: this node, those that are connected, and those whom others name. */
  async #choose({ nodes, zones, all }: PrefetchTargets, signal: AbortSignal): Promise<MeshMember[]> {
    const { self, connected, members } = this.#components
    const chosen = new Map<string, MeshMember>()
    if (all || zones.length > 0) {
      for (const member of [self, ...(await members(signal))]) {
        if (all || zones.includes(member.zone)) chosen.set(member.peerId, member)
      }
    }
    const known = new Map([self, ...connected()].map((member) => [member.peerId, member]))
    for (const peerId of nodes) chosen.set(peerId, known.get(peerId) ?? { peerId, zone: 'unknown', role: 'node' })
    return [...chosen.values()]
  }
}

/** What was heard of a node last. */
const NOTHING: PrefetchReport = Object.freeze({ state: 'waiting', size: 0, heldBytes: 0, receivedBytes: 0 })
/** The node itself says that it can't be, so that another attempt ends the same. */
const FINAL: ReadonlySet<string> = new Set(['UNSUPPORTED', 'PEER_MISBEHAVED', 'ADDRESS_INVALID'])

/** One node that is to fetch the image: asked again when it is lost, until it is done or there is no hope. */
class OneNode {
  readonly #node: MeshMember
  readonly #request: PrefetchRequest
  readonly #onNode: OnNode
  readonly #components: PrefetcherComponents
  readonly #options: PrefetcherOptions
  readonly #began = performance.now()
  #last = NOTHING
  #wasReached = false
  #misses = 0

  constructor(
    node: MeshMember,
    request: PrefetchRequest,
    onNode: OnNode,
    components: PrefetcherComponents,
    options: PrefetcherOptions
  ) {
    this.#node = node
    this.#request = request
    this.#onNode = onNode
    this.#components = components
    this.#options = options
  }

  async run(queue: PQueue, left: AbortSignal, deadline: AbortSignal): Promise<NodePrefetch> {
    const signal = AbortSignal.any([left, deadline])
    this.#tell('connecting')
    for (let pauseMs = this.#options.minPauseMs; ; pauseMs = Math.min(2 * pauseMs, this.#options.maxPauseMs)) {
      const wasLost = this.#wasReached
      try {
        await queue.add(() => this.#attempt(signal), { signal })
        return this.#tell('done')
      } catch (error) {
        if (deadline.aborted)
          return this.#fail('DEADLINE', 'was not done in time; what came is kept, ask again to go on')
        if (left.aborted || this.#isFinal(error, wasLost)) return this.#fail(...reasonOf(error))
        if (this.#isGivenUp())
          return this.#fail('UNREACHABLE', 'can not be reached; see whether it runs, and its address')
      }
      this.#tell(this.#wasReached ? 'lost' : 'connecting')
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { self, client, jobs } = this.#components
    const { peerId } = this.#node
    const reports =
      peerId === self.peerId
        ? jobs.follow(
            {
              reference: parseImageReference(this.#request.reference),
              platform: readPlatform(this.#request.platform),
              deadlineMs: this.#request.deadlineMs
            },
            signal
          )
        : client.fetch(peerId, this.#request, signal)
    for await (const report of reports) {
      this.#wasReached = true
      this.#last = report
      if (report.state !== 'done') this.#tell(report.state)
    }
  }

  #isFinal(error: unknown, wasLost: boolean): boolean {
    if (isOciError(error, 'TOOMANYREQUESTS')) return false
    const isUnknown = isOciError(error, 'MANIFEST_UNKNOWN') || isOciError(error, 'BLOB_UNKNOWN')
    if (isUnknown && wasLost) return ++this.#misses > this.#options.retriesAfterReturn
    return isOciError(error) || (error instanceof Error && 'code' in error && FINAL.has(String(error.code)))
  }

  #isGivenUp(): boolean {
    return !this.#wasReached && performance.now() - this.#began > this.#options.unreachableAfterMs
  }

  #tell(state: NodePrefetch['state'], error?: Failure): NodePrefetch {
    const { peerId, zone } = this.#node
    const { size, heldBytes, receivedBytes, digest } = this.#last
    const told = { peerId, zone, state, size, heldBytes, receivedBytes }
    const node = { ...told, ...(digest === undefined ? {} : { digest }), ...(error === undefined ? {} : { error }) }
    this.#onNode(node)
    return node
  }

  #fail(code: string, message: string): NodePrefetch {
    return this.#tell('failed', { code, message })
  }
}

function reasonOf(error: unknown): [code: string, message: string] {
  const { code, message } = describe(error)
  return [code, message]
}
