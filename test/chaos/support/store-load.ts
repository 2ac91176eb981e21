import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MEDIA_TYPE } from '@layermesh/oci'
import { type Answer, request } from '../../support/http.ts'
import type { BanWatch } from './ban-watch.ts'
import type { ImageLedger, LedgerBlob, LedgerImage } from './image-ledger.ts'
import type { LoadedNode } from './loaded-node.ts'
import type { Random } from './random.ts'

const NO_SPACE = /no space left on its disk/
const ADMIN_TOKEN_FILE = 'admin.token'
/** A node waits so long for what another one answers; when it says 404 later than that, a busy machine kept the answer from it. */
const UNANSWERED_MS = 2_000

/** How long what a client was told holds, in ms: less than the settings say, as time passes before it is told. */
export interface Promises {
  /** Of a blob that HEAD told of. */
  readonly leaseMs: number
  /** Of a blob that was pushed or mounted. */
  readonly graceMs: number
}

/** What happened, for the report. */
class Tally {
  readonly #counts = new Map<string, number>()

  add(what: string, count = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + count)
  }

  get(what: string): number {
    return this.#counts.get(what) ?? 0
  }

  toString(): string {
    return [...this.#counts]
      .sort()
      .map(([what, count]) => `${what} ${count}`)
      .join(', ')
  }
}

/** Thrown when a node broke a promise. */
class BrokenPromiseError extends Error {
  override readonly name = 'BrokenPromiseError'
}

/** Thrown when a node was killed under a request. */
class NodeGoneError extends Error {
  override readonly name = 'NodeGoneError'
}

/** Clients that push, mount, pull and delete images, and check every answer against the ledger. */
export class StoreLoad {
  readonly tally = new Tally()
  readonly #ledger: ImageLedger
  readonly #promises: Promises

  constructor(ledger: ImageLedger, promises: Promises) {
    this.#ledger = ledger
    this.#promises = promises
  }

  /** Does `work` again and again until `signal` aborts; that a node was killed under it is no failure. */
  async repeat(signal: AbortSignal, random: Random, pauseMs: number, work: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      try {
        await work()
      } catch (error) {
        if (!(error instanceof NodeGoneError)) throw error
        this.tally.add('cut by a kill or a ban')
      }
      await sleep(random.integer(0, pauseMs))
    }
  }

  /** Pushes an image that is not there, as clients do: what the registry has already is not sent. */
  async push(at: LoadedNode, random: Random): Promise<void> {
    const image = this.#ledger.pick(random, 'absent')
    if (image === undefined) return
    image.become('pushing')
    let pushed = false
    try {
      pushed = await this.#push(at, image, random)
    } finally {
      // Cut off, it may have been taken or not: a deletion makes sure, later.
      image.become(pushed ? 'live' : 'deleting')
      if (!pushed) await this.#settle(image)
    }
  }

  async #push(at: LoadedNode, image: LedgerImage, random: Random): Promise<boolean> {
    const holdsUntil = new Map<string, number>()
    for (const blob of image.blobs) holdsUntil.set(blob.digest, await this.#bringBlob(at, image, blob, random))
    await sleep(random.integer(0, this.#promises.leaseMs / 4))
    const asked = performance.now()
    const answer = await this.#ask(at, `${image.repository}/manifests/${image.tag}`, {
      method: 'PUT',
      headers: { 'Content-Type': MEDIA_TYPE.ociManifest },
      body: new Uint8Array(image.manifest)
    })
    if (answer.status === 201) {
      this.tally.add('pushes')
      return true
    }
    if (isFull(answer)) {
      this.tally.add('pushes refused for want of space')
      return false
    }
    const isMissing = answer.status === 400 && /MANIFEST_BLOB_UNKNOWN/.test(answer.body.toString())
    const missing = missingOf(answer)
    const holds = (digest: string) => asked + answer.elapsedMs < (holdsUntil.get(digest) ?? 0)
    const all = image.blobs.map(({ digest }) => digest)
    // A node passes on what the seed said without the list: then it may be about any whose promise has ended.
    const broken = missing.length > 0 ? missing.filter(holds) : all.every(holds) ? all : []
    if (isMissing && !at.isSeed && (await this.#hasAll(at, image, broken))) {
      this.tally.add('pushes that the seed could not follow in time')
      return false
    }
    if (!isMissing || broken.length > 0) {
      throw new BrokenPromiseError(`${at.node.name} took the blobs of ${image.tag} and then said ${tell(answer)}`)
    }
    this.tally.add('pushes too slow for the leases')
    return false
  }

  /** Whether a node still has what it was sent, so that it was the seed that did not come to fetch it: both share a busy machine. */
  async #hasAll(at: LoadedNode, { repository }: LedgerImage, digests: readonly string[]): Promise<boolean> {
    for (const digest of digests) {
      const head = await this.#ask(at, `${repository}/blobs/${digest}`, { method: 'HEAD' })
      if (head.status !== 200) return false
    }
    return digests.length > 0
  }

  /** @returns until when the registry has promised to have it */
  async #bringBlob(at: LoadedNode, { repository }: LedgerImage, blob: LedgerBlob, random: Random): Promise<number> {
    const { leaseMs, graceMs } = this.#promises
    // An answer may take long to come: what it promises begins before it.
    const begun = performance.now()
    const head = await this.#ask(at, `${repository}/blobs/${blob.digest}`, { method: 'HEAD' })
    if (head.status === 200) {
      this.tally.add('uploads skipped')
      return begun + leaseMs
    }
    const from = random.pick(['load/app', 'load/web', 'load/tools'])
    const mounting = performance.now()
    const started = await this.#ask(at, `${repository}/blobs/uploads/?mount=${blob.digest}&from=${from}`, {
      method: 'POST'
    })
    if (started.status === 201) {
      this.tally.add('mounts')
      return mounting + graceMs
    }
    if (started.status !== 202) throw new BrokenPromiseError(`an upload was answered with ${tell(started)}`)
    const session = new URL(started.headers.get('location') ?? '', at.node.registryUrl)
    session.searchParams.set('digest', blob.digest)
    const uploading = performance.now()
    const put = await this.#ask(at, session.href, { method: 'PUT', body: new Uint8Array(blob.content) })
    if (put.status !== 201 && !isFull(put)) throw new BrokenPromiseError(`a blob was answered with ${tell(put)}`)
    this.tally.add(put.status === 201 ? 'uploads' : 'uploads refused for want of space')
    if (put.status === 201) return uploading + graceMs
    // A repository has so many open and no more.
    session.searchParams.delete('digest')
    await this.#ask(at, session.href, { method: 'DELETE' })
    return 0
  }

  /** Pulls an image wholly or in parts. As long as it was there all the time, all of it must come, and every byte be right. */
  async pull(at: LoadedNode, random: Random): Promise<void> {
    const image = this.#ledger.pick(random, 'live')
    if (image === undefined) return
    const stillThere = image.watch()
    // What a tag meant a moment ago a node may go by for a while.
    const reference = at.isSeed ? random.pick([image.tag, image.digest]) : image.digest
    const path = `${image.repository}/manifests/${reference}`
    const manifest = await this.#ask(at, path, { headers: { Accept: MEDIA_TYPE.ociManifest } })
    if (!this.#isServed(at, image, manifest, stillThere, 'the manifest')) return
    if (!manifest.body.equals(image.manifest)) throw new BrokenPromiseError(`another manifest came for ${image.tag}`)
    for (const blob of shuffled(image.blobs, random)) {
      if (!(await this.#pullBlob(at, image, blob, stillThere, random))) return
    }
    this.tally.add(at.isSeed ? 'pulls from the seed' : 'pulls from nodes')
  }

  /** Pulls all of an image, which must be there. */
  async pullAll(at: LoadedNode, image: LedgerImage): Promise<void> {
    for (const blob of image.blobs) {
      const answer = await this.#ask(at, `${image.repository}/blobs/${blob.digest}`, {})
      if (answer.status !== 200 || !answer.body.equals(blob.content)) {
        throw new BrokenPromiseError(`${at.node.name} lacks ${blob.digest} of ${image.tag}: ${tell(answer)}`)
      }
    }
  }

  async #pullBlob(
    at: LoadedNode,
    image: LedgerImage,
    blob: LedgerBlob,
    stillThere: () => boolean,
    random: Random
  ): Promise<boolean> {
    const isWhole = random.integer(0, 2) > 0
    const start = isWhole ? 0 : random.integer(0, blob.size - 1)
    const end = isWhole ? blob.size : random.integer(start + 1, blob.size)
    const headers: Record<string, string> = isWhole ? {} : { Range: `bytes=${start}-${end - 1}` }
    const answer = await this.#ask(at, `${image.repository}/blobs/${blob.digest}`, { headers })
    if (!this.#isServed(at, image, answer, stillThere, `${blob.digest} of ${blob.size} bytes`)) return false
    if (!answer.body.equals(blob.content.subarray(start, end))) {
      throw new BrokenPromiseError(`${at.node.name} gave wrong bytes of ${blob.digest}, ${start} to ${end}`)
    }
    this.tally.add('MiB pulled', answer.body.length / 2 ** 20)
    return true
  }

  /** Whether it came. It may be missing when the image was deleted meanwhile, and refused by a node that is full of what is in use. */
  #isServed(at: LoadedNode, image: LedgerImage, answer: Answer, stillThere: () => boolean, what: string): boolean {
    if (answer.status === 200 || answer.status === 206) return true
    if (!stillThere()) {
      this.tally.add('pulls of what was deleted meanwhile')
      return false
    }
    if (!at.isSeed && isFull(answer)) {
      this.tally.add('pulls refused for want of space')
      return false
    }
    if (!at.isSeed && answer.status === 404 && answer.elapsedMs > UNANSWERED_MS) {
      this.tally.add('pulls that the seed did not answer in time')
      return false
    }
    throw new BrokenPromiseError(
      `${at.node.name} served ${image.tag}, and for ${what} says ${tell(answer)} after ${answer.elapsedMs} ms`
    )
  }

  async delete(random: Random, atLeast: number): Promise<void> {
    const image = this.#ledger.live().length > atLeast ? this.#ledger.pick(random, 'live') : undefined
    if (image === undefined) return
    image.become('deleting')
    await this.#settle(image)
    this.tally.add('deletions')
  }

  /** The seed, where deletions go. */
  seed: LoadedNode | undefined
  bans: BanWatch | undefined

  /** Deletes an image that may be there, however often the seed is killed meanwhile. */
  async #settle(image: LedgerImage): Promise<void> {
    for (;;) {
      try {
        if (this.seed === undefined) throw new Error('there is no seed')
        const path = `${image.repository}/manifests/${image.digest}`
        const answer = await this.#ask(this.seed, path, { method: 'DELETE' })
        if (answer.status !== 202 && answer.status !== 404) {
          throw new BrokenPromiseError(`a deletion was answered with ${tell(answer)}`)
        }
        image.become('absent')
        return
      } catch (error) {
        if (!(error instanceof NodeGoneError)) throw error
        await sleep(100)
      }
    }
  }

  /** @throws {BrokenPromiseError} when another collection runs, no failure is told */
  async collectGarbage(at: LoadedNode): Promise<{ readonly blobs: number; readonly complete: boolean } | undefined> {
    const token = (await readFile(join(at.node.dataDirectory, ADMIN_TOKEN_FILE), 'utf8')).trim()
    const answer = await this.#ask(at, `${at.node.adminUrl}/api/v1/gc`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: '{}'
    })
    if (answer.status === 200) {
      const report = JSON.parse(answer.body.toString()) as { blobs: number; complete: boolean }
      this.tally.add('garbage collections')
      this.tally.add('blobs collected', report.blobs)
      return report
    }
    if (/BUSY/.test(answer.body.toString())) return undefined
    throw new BrokenPromiseError(`a garbage collection was answered with ${tell(answer)}`)
  }

  /** @param path below `/v2/`, or a whole URL */
  async #ask(at: LoadedNode, path: string, init: RequestInit): Promise<Answer> {
    const before = this.#livesOf(at)
    const url = path.startsWith('http') ? path : `${at.node.registryUrl}/v2/${path}`
    try {
      const answer = await request(url, init)
      if (answer.status >= 400 && (this.#wasKilled(at, before) || (await this.#isApart(at)))) {
        throw new NodeGoneError(at.node.name)
      }
      return answer
    } catch (error) {
      if (error instanceof NodeGoneError || this.#wasKilled(at, before)) throw new NodeGoneError(at.node.name)
      throw new Error(`${at.node.name}: ${init.method ?? 'GET'} ${path}`, { cause: error })
    }
  }

  /** Whether a node may lack the seed for now, without which it can't have what it has not. */
  async #isApart(at: LoadedNode): Promise<boolean> {
    return !at.isSeed && ((await this.bans?.isApart()) ?? false)
  }

  #livesOf(at: LoadedNode): string {
    return `${at.lives} ${this.seed?.lives}`
  }

  /** Whether the node or its seed was killed since, or is not back yet. */
  #wasKilled(at: LoadedNode, before: string): boolean {
    return this.#livesOf(at) !== before || at.lives % 2 === 1 || (this.seed?.lives ?? 0) % 2 === 1
  }
}

function isFull({ status, body }: Answer): boolean {
  return status === 503 && NO_SPACE.test(body.toString())
}

function missingOf({ body }: Answer): string[] {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { detail?: { missing?: string[] } }[] }
    return errors?.flatMap(({ detail }) => detail?.missing ?? []) ?? []
  } catch {
    return []
  }
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, rank: random.fraction() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item)
}

function tell({ status, body }: Answer): string {
  return `${status} ${body.subarray(0, 500).toString()}`
}
