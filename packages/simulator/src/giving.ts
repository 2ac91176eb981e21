import { Turns, UPLOAD_DEFAULTS, type UploadAction, type UploadEvent, UploadScheduler } from '@layermesh/swarm'
import type { Peer, Surroundings, Transfer } from './peer.ts'
import type { Share } from './share.ts'

export interface GivingHost {
  readonly self: Peer
  share(digest: string): Share | undefined
  isNear(peer: Peer): boolean
  /** Whether it had the image before all others, or brings it in. */
  readonly origin: boolean
  /** Whether it says that it has what it has not. */
  readonly lies: boolean
}

interface Upload {
  readonly transfer: Transfer
  readonly request: number
  sending: boolean
}

/** News of a blob that its followers have not heard yet. */
interface News {
  pieces: number[]
  fetching: number[]
}

const SIGN_OF_LIFE_EVERY_MS = 1_000

/** The giving side of a node: takes requests, sends what the scheduler lets it send, and tells followers of new pieces. */
export class Giving {
  readonly #host: GivingHost
  readonly #world: Surroundings
  readonly #scheduler: UploadScheduler
  readonly #uploads = new Map<number, Upload>()
  readonly #byTransfer = new Map<Transfer, Upload>()
  readonly #news = new Map<Share, News>()
  readonly #turns = new Turns()
  #requests = 0
  #signedAt = 0

  constructor(host: GivingHost, world: Surroundings) {
    this.#host = host
    this.#world = world
    this.#scheduler = new UploadScheduler(world.scenario.uploads)
  }

  get busy(): boolean {
    return this.#uploads.size > 0
  }

  requested(transfer: Transfer): void {
    const { asker, blob, piece, bytes } = transfer
    const share = this.#host.share(blob.digest)
    if (!share || !(share.held.has(piece) || this.#host.lies)) return this.reject(transfer, 'not-held')
    const request = ++this.#requests
    const upload = { transfer, request, sending: false }
    this.#uploads.set(request, upload)
    this.#byTransfer.set(transfer, upload)
    this.step({
      type: 'requested',
      request,
      peer: asker.id,
      zone: zoneName(asker),
      scope: this.#host.isNear(asker) ? 'zone' : 'far',
      digest: blob.digest,
      piece,
      bytes,
      pieces: blob.pieces,
      whole: this.#host.origin || (share.followers.get(asker) ?? false)
    })
  }

  /** What is being sent already is sent to its end. */
  cancelled(transfer: Transfer): void {
    const upload = this.#byTransfer.get(transfer)
    if (!upload || upload.sending) return
    this.forget(upload)
    this.step({ type: 'cancelled', request: upload.request })
  }

  sent(transfer: Transfer, bytes: number): void {
    const upload = this.#byTransfer.get(transfer)
    if (upload && bytes > 0) this.step({ type: 'sent', request: upload.request, bytes })
  }

  finished(transfer: Transfer, bytes: number): void {
    const upload = this.#byTransfer.get(transfer)
    if (!upload) return
    this.sent(transfer, bytes)
    this.forget(upload)
    this.step({ type: 'finished', request: upload.request })
  }

  tick(): void {
    if (!this.busy) return
    this.step({ type: 'tick' })
    if (this.#world.clock.now - this.#signedAt < SIGN_OF_LIFE_EVERY_MS) return
    this.#signedAt = this.#world.clock.now
    const told = new Set<Peer>()
    for (const { transfer } of this.#uploads.values()) {
      if (told.has(transfer.asker)) continue
      told.add(transfer.asker)
      this.#world.post(this.#host.self, transfer.asker, { type: 'data', transfer, bytes: 0 })
    }
  }

  lost(peer: Peer): void {
    for (const upload of [...this.#uploads.values()]) if (upload.transfer.asker === peer) this.forget(upload)
    this.#turns.forget(peer.id)
    this.step({ type: 'peer-gone', peer: peer.id })
  }

  /** A piece is here now: followers are told soon, of several at a time. */
  kept(share: Share, piece: number): void {
    this.newsOf(share)?.pieces.push(piece)
  }

  /** A piece came from outside: one of those near hears of it first, in turn. */
  entered(share: Share, piece: number): void {
    const { clock, scenario } = this.#world
    const followers = [...share.followers.keys()]
    const near = followers.filter((peer) => this.#host.isNear(peer))
    const id = this.#turns.next(near.map((peer) => peer.id))
    const first = followers.filter((peer) => peer.id === id || !near.includes(peer))
    const message = { type: 'have', blob: share.blob, pieces: [piece], fetching: [] } as const
    clock.after(scenario.haveEveryMs, () => this.#world.postAll(this.#host.self, first, message))
    const { tellOthersAfterMs } = { ...UPLOAD_DEFAULTS, ...scenario.uploads }
    clock.after(tellOthersAfterMs, () => this.kept(share, piece))
  }

  fetching(share: Share, pieces: readonly number[]): void {
    this.newsOf(share)?.fetching.push(...pieces)
  }

  private newsOf(share: Share): News | undefined {
    if (share.followers.size === 0) return undefined
    const known = this.#news.get(share)
    if (known) return known
    const news = { pieces: [], fetching: [] }
    this.#news.set(share, news)
    this.#world.clock.after(this.#world.scenario.haveEveryMs, () => this.tellNews(share))
    return news
  }

  private tellNews(share: Share): void {
    const news = this.#news.get(share)
    if (!news) return
    this.#news.delete(share)
    this.#world.postAll(this.#host.self, [...share.followers.keys()], {
      type: 'have',
      blob: share.blob,
      pieces: news.pieces,
      fetching: news.fetching.filter((piece) => !share.held.has(piece))
    })
  }

  private step(event: UploadEvent): void {
    const actions = this.#scheduler.step(this.#world.clock.now, event)
    this.#world.observer.uploadsStepped?.(this.#host.self, event, actions)
    for (const action of actions) this.perform(action)
  }

  private perform(action: UploadAction): void {
    const upload = this.#uploads.get(action.request)
    if (!upload) return
    if (action.type === 'send') {
      upload.sending = true
      this.#world.send(upload.transfer)
      return
    }
    this.forget(upload)
    this.reject(upload.transfer, action.reason)
  }

  private reject(transfer: Transfer, reason: 'not-held' | 'busy' | 'given'): void {
    this.#world.post(this.#host.self, transfer.asker, { type: 'reject', transfer, reason })
  }

  private forget(upload: Upload): void {
    this.#uploads.delete(upload.request)
    this.#byTransfer.delete(upload.transfer)
  }
}

function zoneName({ zone }: Peer): string {
  return `zone-${zone}`
}
