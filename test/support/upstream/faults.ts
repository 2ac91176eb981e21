/** What a client asks a registry for. `object`: a blob from the object store that the registry sent it to. */
export type Wanted = 'ping' | 'token' | 'manifest' | 'blob' | 'object' | 'other'

/** Which requests a fault hits. */
export interface Target {
  /** @default all */
  readonly on?: Wanted
  readonly method?: 'GET' | 'HEAD'
  /** Only this digest or tag. */
  readonly reference?: string
  /** How many of these requests it hits. @default all */
  readonly times?: number
}

/**
 * What happens to a request. Offsets count the bytes of that answer's body, so also those of a part that was asked for.
 *
 * - `answer`: this instead of what the registry says
 * - `hang`: nothing comes any more, until the proxy is told to let go: no answer at all, or none of the body after `afterBytes`
 * - `cut`: the connection ends, without an answer or after so many bytes of the body
 * - `corrupt`: the byte at this offset is another
 * - `lengthen`: the answer says a length that is `by` bytes more than what comes; less when it is negative
 * - `ignore-range`: all comes, whatever part was asked for
 * - `redirect`: to the object store, as registries in front of S3 answer for blobs
 */
export type Effect =
  | {
      readonly does: 'answer'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
    }
  | { readonly does: 'hang' | 'cut'; readonly afterBytes?: number }
  | { readonly does: 'corrupt'; readonly at: number }
  | { readonly does: 'lengthen'; readonly by: number }
  | { readonly does: 'ignore-range' | 'redirect' }

/** Plain data, so that it can be sent to a proxy in another process. */
export type Fault = Target & Effect

/** A request as the proxy read it. */
export interface Asked {
  readonly method: string
  readonly wanted: Wanted
  /** Name at this registry. */
  readonly repository?: string
  /** Digest or tag. */
  readonly reference?: string
}

const PATH = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/

/** Reads method and path of a request to a registry. */
export function readRequest(method: string, path: string): Asked {
  if (path === '/v2/' || path === '/v2') return { method, wanted: 'ping' }
  if (path === '/token') return { method, wanted: 'token' }
  const [, repository, kind, reference] = PATH.exec(path) ?? []
  if (repository === undefined || reference === undefined) return { method, wanted: 'other' }
  return { method, wanted: kind === 'blobs' ? 'blob' : 'manifest', repository, reference }
}

/** The faults that are to come. */
export class FaultPlan {
  #faults: { readonly fault: Fault; left: number }[] = []

  /** In place of all before. */
  set(faults: readonly Fault[]): void {
    this.#faults = faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }))
  }

  /** The first that hits this request; it is one the fewer then. */
  take(asked: Asked): Fault | undefined {
    const found = this.#faults.find(({ fault, left }) => left > 0 && hits(fault, asked))
    if (found !== undefined) found.left -= 1
    return found?.fault
  }
}

function hits({ on, method, reference }: Target, asked: Asked): boolean {
  return (
    (on === undefined || on === asked.wanted) &&
    (method === undefined || method === asked.method) &&
    (reference === undefined || reference === asked.reference)
  )
}
