import { type Digest, unlessAborted } from '@layermesh/oci'
import { openWholeReader } from '../blobs/whole-reader.ts'
import type { Guards } from '../cache/guards.ts'
import { heldReader } from '../cache/held-reader.ts'
import { ContentError } from '../errors.ts'
import type { BlobReader, BlobSource, BlobStat, Downloads, PartialBlob } from '../interfaces.ts'
import { Download, type DownloadComponents } from './download.ts'
import { Slots } from './slots.ts'

export interface DownloadsOptions {
  readonly maxDownloads: number
  readonly maxWaitingDownloads: number
}

export interface DownloadsComponents extends DownloadComponents {
  readonly guards: Guards
}

/** A download and the promise, never rejected, that it has ended. */
interface Running {
  readonly download: Download
  readonly ended: Promise<void>
}

/** All downloads that run or wait for their turn, one for each digest. */
export class RunningDownloads implements Downloads {
  readonly #components: DownloadsComponents
  readonly #options: DownloadsOptions
  readonly #slots: Slots
  readonly #running = new Map<Digest, Running>()
  readonly #closing = new AbortController()

  constructor(components: DownloadsComponents, options: DownloadsOptions) {
    this.#components = components
    this.#options = options
    this.#slots = new Slots(options.maxDownloads)
  }

  async fetch(digest: Digest, source: BlobSource, signal?: AbortSignal): Promise<BlobReader | undefined> {
    const { catalog, guards } = this.#components
    for (;;) {
      signal?.throwIfAborted()
      await guards.renew(digest)
      const whole = await openWholeReader(catalog, digest)
      if (whole !== undefined) return heldReader(whole, guards)
      const { download, ended } = this.#running.get(digest) ?? this.#start(digest, source)
      if (download.failed) {
        await unlessAborted(ended, signal)
        continue
      }
      const beginning = await unlessAborted(download.beginning, signal)
      if (beginning === 'absent') return undefined
      const reader = download.reader()
      if (reader !== undefined) return heldReader(reader, guards)
      await download.finished
    }
  }

  async whole(digest: Digest, signal?: AbortSignal): Promise<BlobStat> {
    const running = this.#running.get(digest)
    if (running !== undefined) return unlessAborted(running.download.finished, signal)
    const stat = await this.#components.catalog.stat(digest)
    if (stat !== undefined) return stat
    const later = this.#running.get(digest)
    if (later !== undefined) return unlessAborted(later.download.finished, signal)
    throw new ContentError('DOWNLOAD_FAILED', 'the blob is not here, and nobody brings it')
  }

  inFlight(digest: Digest): PartialBlob | undefined {
    return this.#running.get(digest)?.download.shared
  }

  list(): readonly PartialBlob[] {
    return [...this.#running.values()].flatMap(({ download }) => download.shared ?? [])
  }

  /** The download of this blob, whether it may be shared or not. */
  get(digest: Digest): Download | undefined {
    return this.#running.get(digest)?.download
  }

  #start(digest: Digest, source: BlobSource): Running {
    this.#closing.signal.throwIfAborted()
    if (this.#running.size >= this.#options.maxDownloads + this.#options.maxWaitingDownloads) {
      throw new ContentError('BUSY', 'too many downloads wait for their turn')
    }
    const inTurn: BlobSource = async (wanted, begin, signal) => {
      await this.#slots.acquire(signal)
      try {
        return await source(wanted, begin, signal)
      } finally {
        this.#slots.release()
      }
    }
    const download = new Download(this.#components, digest)
    const ended = download.run(inTurn, this.#closing.signal).finally(() => this.#running.delete(digest))
    const running = { download, ended: ended.catch(() => {}) }
    this.#running.set(digest, running)
    return running
  }

  /** Ends all downloads where they are. */
  async close(): Promise<void> {
    this.#closing.abort(new ContentError('STORE_CLOSED', 'the store is closed'))
    await Promise.all([...this.#running.values()].map(({ ended }) => ended))
  }
}
