import { type Digest, isOciError, parseManifest, type Repository, referencedDescriptors } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'

export interface ImageWatchComponents {
  /** Whether a blob is wholly here. */
  isHere(digest: Digest): Promise<boolean>
  /** Tells the seeds of an image that is wholly here. False when none could be told: it is tried again. */
  tell(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean>
  onFailure(error: unknown): void
  /** Milliseconds, from any start. */
  now(): number
}

export interface ImageWatchOptions {
  readonly checkEveryMs: number
  /** Images that are waited for at one time; of more, those that were asked for longest ago are forgotten. */
  readonly maxOpen: number
  /** What all of them name together. */
  readonly maxOpenParts: number
  /** Manifests that are remembered as told, or as no image. */
  readonly maxTold: number
  /** An image that is not complete by then is forgotten. */
  readonly giveUpAfterMs: number
  /** For telling the seeds of one image. */
  readonly tellDeadlineMs: number
}

const DEFAULTS: ImageWatchOptions = Object.freeze({
  checkEveryMs: 2_000,
  maxOpen: 256,
  maxOpenParts: 65_536,
  maxTold: 4_096,
  giveUpAfterMs: 6 * 60 * 60_000,
  tellDeadlineMs: 5_000
})

interface OpenImage {
  readonly repository: Repository
  readonly digest: Digest
  readonly missing: Set<Digest>
  readonly since: number
}

/** Waits until images that clients of this node asked for are wholly here, and has the seeds know, once for each. */
export class ImageWatch {
  readonly #components: ImageWatchComponents
  readonly #options: ImageWatchOptions
  readonly #open: LRUCache<string, OpenImage>
  readonly #told: LRUCache<string, true>
  readonly #stopped = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #checking: Promise<void> | undefined

  constructor(components: ImageWatchComponents, options: Partial<ImageWatchOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    const { maxOpen: max, maxOpenParts: maxSize } = this.#options
    this.#open = new LRUCache({ max, maxSize, sizeCalculation: ({ missing }) => Math.max(1, missing.size) })
    this.#told = new LRUCache({ max: this.#options.maxTold })
  }

  start(): void {
    this.#timer = setInterval(() => void this.check(), this.#options.checkEveryMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopped.abort()
    await this.#checking
  }

  /** A client has the manifest of an image. An index is no image: of its children clients take what fits their platform. */
  watch(repository: Repository, digest: Digest, manifest: Uint8Array): void {
    const key = `${repository}@${digest}`
    if (this.#told.has(key) || this.#open.has(key)) return
    const parts = partsOf(manifest)
    if (parts === undefined) this.#told.set(key, true)
    else this.#open.set(key, { repository, digest, missing: new Set(parts), since: this.#components.now() })
  }

  /** Looks which images are complete by now, and tells of them. */
  check(): Promise<void> {
    this.#checking ??= this.#checkAll()
      .catch((error: unknown) => this.#components.onFailure(error))
      .finally(() => {
        this.#checking = undefined
      })
    return this.#checking
  }

  async #checkAll(): Promise<void> {
    for (const [key, image] of [...this.#open.entries()]) {
      if (this.#stopped.signal.aborted) return
      if (!(await this.#isDone(image))) continue
      this.#open.delete(key)
    }
  }

  async #isDone({ repository, digest, missing, since }: OpenImage): Promise<boolean> {
    const { isHere, tell, now } = this.#components
    for (const part of [...missing]) {
      if (!(await isHere(part))) break
      missing.delete(part)
    }
    const isOver = now() - since > this.#options.giveUpAfterMs
    if (missing.size > 0) return isOver
    const deadline = AbortSignal.timeout(this.#options.tellDeadlineMs)
    if (!(await tell(repository, digest, AbortSignal.any([deadline, this.#stopped.signal])))) return isOver
    this.#told.set(`${repository}@${digest}`, true)
    return true
  }
}

/** All that the manifest of an image names; undefined of another one. */
function partsOf(bytes: Uint8Array): Digest[] | undefined {
  try {
    const manifest = parseManifest(bytes)
    return manifest.kind === 'image' ? referencedDescriptors(manifest).map(({ digest }) => digest) : undefined
  } catch (error) {
    if (isOciError(error)) return undefined
    throw error
  }
}
