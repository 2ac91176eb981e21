import { setTimeout as wait } from 'node:timers/promises'
import PQueue from 'p-queue'
import { MeshError } from '../errors.ts'
import type { NoticeBoard, NoticeHead } from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { call, serve } from '../network/rpc.ts'
import { sample } from '../sample.ts'
import {
  decodeHeads,
  decodeNotice,
  decodeNoticeRequest,
  encodeHeads,
  encodeNotice,
  encodeNoticeRequest,
  type NoticeRequest
} from './messages.ts'

const ANNOUNCE_CONCURRENCY = 16
const ANNOUNCE_QUEUE = 4_096

export interface NoticesComponents {
  readonly host: MeshHost
  readonly directory: Pick<PeerDirectory, 'connected' | 'ban' | 'flooded' | 'sentMalformed' | 'onGone'>
  readonly board: NoticeBoard
  readonly log: { debug(fields: Record<string, unknown>, message: string): void }
}

/**
 * Carries notices: what one node holds, all soon hold (PROTOCOL.md §Notice). A node is only told what others have; it
 * asks for what its board wants, so nobody can make it take in more. What it kept it tells on, which makes a change go
 * through the mesh like a wave.
 *
 * Of each peer one notice is fetched at a time. A notice that several peers tell of is fetched from one of them, and
 * from the next when that one fails or takes long.
 */
export class Notices {
  readonly #components: NoticesComponents
  readonly #stopped = new AbortController()
  readonly #announcing = new PQueue({ concurrency: ANNOUNCE_CONCURRENCY })
  /** What each peer is still to be told of, by {@link keyOf}. */
  readonly #untold = new Map<string, Map<string, NoticeHead>>()
  /** What each peer is said to have and is still to be asked for, by {@link keyOf}. */
  readonly #offered = new Map<string, Map<string, NoticeHead>>()
  /** Fetches that run, by {@link keyOf}. */
  readonly #fetching = new Map<string, Promise<unknown>>()
  #refresher: NodeJS.Timeout | undefined
  #unsubscribe: (() => void)[] = []

  constructor(components: NoticesComponents) {
    this.#components = components
  }

  async start(): Promise<void> {
    const { host, board, directory, log } = this.#components
    await serve(host, PROTOCOL.notice, (peerId, request) => this.answer(peerId, request), {
      deadlineMs: LIMITS.noticeDeadlineMs,
      rate: { perSecond: LIMITS.noticePerSecond, burst: LIMITS.noticeBurst },
      onFailure: (peerId, error) => log.debug({ peerId, err: error }, 'a request about notices failed'),
      onFlood: (peerId) => directory.flooded(peerId),
      onMalformed: (peerId) => directory.sentMalformed(peerId)
    })
    host.addEventListener('peer:connect', ({ detail }) => void this.refresh(detail.toString()))
    directory.onGone((peerId) => this.#offered.delete(peerId))
    this.#unsubscribe = [board.onChange((head) => this.tell(head)), board.onSigners(() => this.askAll())]
    this.#refresher = setInterval(() => {
      const [peerId] = sample(directory.connected(), 1, Math.random)
      if (peerId !== undefined) void this.refresh(peerId)
    }, LIMITS.noticeRefreshMs)
    this.#refresher.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#refresher)
    for (const end of this.#unsubscribe) end()
    this.#stopped.abort()
    this.#offered.clear()
    this.#announcing.clear()
    await Promise.all([this.#announcing.onIdle(), Promise.allSettled(this.#fetching.values())])
  }

  private async answer(peerId: string, bytes: Uint8Array): Promise<Uint8Array> {
    const { board } = this.#components
    const request = decodeNoticeRequest(bytes)
    switch (request.op) {
      case 'list':
        return encodeHeads(board.heads())
      case 'get':
        return encodeNotice(await board.get(request.kind, request.signer))
      case 'changed':
        this.learn(peerId, request.heads)
        return encodeNotice()
    }
  }

  /** Asks a peer what it has. A peer that does not answer tells of it when it changes, or is asked again. */
  private async refresh(peerId: string): Promise<void> {
    try {
      this.learn(peerId, decodeHeads(await this.ask(peerId, { op: 'list' }, LIMITS.rpcDeadlineMs)))
    } catch (error) {
      this.#components.log.debug({ peerId, err: error }, 'a peer did not say which notices it has')
    }
  }

  /** What was not wanted when a peer told of it is to be asked for again. */
  private askAll(): void {
    for (const peerId of this.#components.directory.connected()) {
      if (this.#announcing.size >= ANNOUNCE_QUEUE) return
      void this.#announcing.add(() => this.refresh(peerId))
    }
  }

  private tell(head: NoticeHead): void {
    for (const peerId of this.#components.directory.connected()) {
      const untold = this.#untold.get(peerId)
      if (untold) untold.set(keyOf(head), head)
      else void this.tellPeer(peerId, new Map([[keyOf(head), head]]))
    }
  }

  /** At once, and what changes meanwhile together and a little later: many changes in a row are no flood. */
  private async tellPeer(peerId: string, untold: Map<string, NoticeHead>): Promise<void> {
    const { signal } = this.#stopped
    this.#untold.set(peerId, untold)
    while (untold.size > 0 && !signal.aborted) {
      const heads = [...untold.values()]
      untold.clear()
      const ask = () => this.ask(peerId, { op: 'changed', heads }, LIMITS.rpcDeadlineMs)
      await this.#announcing.add(ask).catch(() => {})
      await wait(LIMITS.noticeTellEveryMs, undefined, { signal, ref: false }).catch(() => {})
    }
    this.#untold.delete(peerId)
  }

  private learn(peerId: string, heads: readonly NoticeHead[]): void {
    if (this.#stopped.signal.aborted) return
    const running = this.#offered.get(peerId)
    const offered = running ?? new Map<string, NoticeHead>()
    for (const head of heads) {
      const key = keyOf(head)
      const fits = offered.has(key) || offered.size < LIMITS.noticesPerMessage
      if (fits && this.#components.board.wants(head)) offered.set(key, head)
    }
    if (running || offered.size === 0) return
    this.#offered.set(peerId, offered)
    void this.fetchAll(peerId, offered)
  }

  private async fetchAll(peerId: string, offered: Map<string, NoticeHead>): Promise<void> {
    for (const [key, head] of offered) {
      // A newer one may be told of while this one is fetched; it comes last then.
      offered.delete(key)
      if (this.#offered.get(peerId) !== offered) return
      await this.fetch(peerId, head)
    }
    if (this.#offered.get(peerId) === offered) this.#offered.delete(peerId)
  }

  private async fetch(peerId: string, head: NoticeHead): Promise<void> {
    const { board, log } = this.#components
    const key = keyOf(head)
    const running = this.#fetching.get(key)
    if (running) await Promise.race([running, wait(LIMITS.noticeHedgeMs, undefined, { ref: false })])
    if (!board.wants(head) || this.#stopped.signal.aborted) return
    const fetched = this.take(peerId, head).catch((error: unknown) => {
      if (error instanceof MeshError && error.code === 'PEER_MISBEHAVED') this.shutOut(peerId, 'malformed')
      else log.debug({ peerId, ...head, err: error }, 'a notice could not be fetched')
    })
    this.#fetching.set(key, fetched)
    await fetched
    if (this.#fetching.get(key) === fetched) this.#fetching.delete(key)
  }

  private async take(peerId: string, head: NoticeHead): Promise<void> {
    const { board, log } = this.#components
    const { kind, signer } = head
    const envelope = decodeNotice(await this.ask(peerId, { op: 'get', kind, signer }, LIMITS.noticeDeadlineMs))
    if (envelope === undefined) return
    const outcome = await board.offer(kind, envelope, peerId, signer)
    log.debug({ peerId, ...head, outcome }, 'fetched a notice')
    const lied = outcome === 'invalid' || ((outcome === 'known' || outcome === 'new') && board.wants(head))
    if (lied) this.shutOut(peerId, 'wrong-notice')
  }

  private shutOut(peerId: string, reason: string): void {
    this.#components.directory.ban(peerId, reason, LIMITS.malformedBanMs)
  }

  private ask(peerId: string, request: NoticeRequest, deadlineMs: number): Promise<Uint8Array> {
    const options = { protocol: PROTOCOL.notice, deadlineMs, signal: this.#stopped.signal }
    return call(this.#components.host, peerId, encodeNoticeRequest(request), options)
  }
}

function keyOf({ kind, signer }: NoticeHead): string {
  return `${kind} ${signer}`
}
