import type { PrefetchHandler, PrefetchReport, PrefetchRequest } from '@layermesh/mesh'
import { isOciError, OciError, parseImageReference, parsePlatform } from '@layermesh/oci'
import type { WantedPlatform } from '../image-puller.ts'
import type { Logger } from '../log.ts'
import type { PrefetchJobs } from './prefetch-jobs.ts'

/** Who may have this node fetch images. */
export type PrefetchFrom = 'seeds' | 'members' | 'none'

export interface PrefetchServiceComponents {
  readonly jobs: Pick<PrefetchJobs, 'follow'>
  /** Whether a peer may sign what tags mean. */
  isSeed(peerId: string): boolean
  readonly log: Pick<Logger, 'info' | 'error'>
}

/** Fetches images for other nodes, as far as the operator lets them. */
export class PrefetchService implements PrefetchHandler {
  readonly #components: PrefetchServiceComponents
  readonly #from: PrefetchFrom

  constructor(components: PrefetchServiceComponents, options: { readonly from: PrefetchFrom }) {
    this.#components = components
    this.#from = options.from
  }

  async *fetch(
    from: string,
    { reference, platform, deadlineMs }: PrefetchRequest,
    signal: AbortSignal
  ): AsyncGenerator<PrefetchReport> {
    const { jobs, log } = this.#components
    this.#require(from)
    const order = { reference: parseImageReference(reference), platform: readPlatform(platform), deadlineMs }
    log.info({ peerId: from, reference, platform }, 'fetching an image for a peer')
    try {
      yield* jobs.follow(order, signal)
      log.info({ peerId: from, reference, platform }, 'an image that a peer wanted is here')
    } catch (error) {
      if (isOciError(error) || signal.aborted) throw error
      log.error({ peerId: from, reference, err: error }, 'an image that a peer wanted could not be fetched')
      throw new OciError('UNAVAILABLE', reasonOf(error), { cause: error })
    }
  }

  #require(from: string): void {
    if (this.#from === 'members' || (this.#from === 'seeds' && this.#components.isSeed(from))) return
    const whom = this.#from === 'none' ? 'nobody' : 'seeds only'
    throw new OciError('DENIED', `this node fetches images for ${whom}, as its setting mesh.prefetchFrom says`)
  }
}

/** Reads `os/architecture[/variant]` or `all`. @throws {OciError} UNSUPPORTED */
export function readPlatform(text: string | undefined): WantedPlatform {
  if (text === undefined || text === 'all') return text
  const platform = parsePlatform(text)
  if (platform) return platform
  throw new OciError('UNSUPPORTED', 'a platform is OS/ARCHITECTURE[/VARIANT], such as linux/arm64, or all')
}

/** What others may be told: errors of ours say what was wrong, of others nobody knows what they hold. */
function reasonOf(error: unknown): string {
  const isOurs = error instanceof Error && ['ContentError', 'MeshError'].includes(error.name)
  return isOurs ? error.message : 'the node failed; its log says more'
}
