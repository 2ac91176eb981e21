import { once } from 'node:events'
import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import { type ByteRange, type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { noise } from '../../support/images/noise.ts'
import type { MeshNode } from '../../support/node.ts'
import { pushImage } from '../../support/registry-client.ts'

export const MIB = 1024 * 1024

/** How a pull ended. */
export interface PullEnd {
  /** Of the answer; undefined when the connection was cut before it came. */
  readonly status: number | undefined
  /** How many bytes of the blob came; each was compared. */
  readonly bytes: number
  /** Whether all came that were asked for. */
  readonly whole: boolean
  /** What the answer said instead of the blob. */
  readonly message: string
}

/** What a client may be told instead of a blob: not found, or not to be had now. It goes on to its next registry. */
const REFUSALS: readonly (number | undefined)[] = [404, 503]

/** Whether a pull ended as it may: with all bytes, cut off before the answer or after, or refused in so many words. */
export function isClean({ status }: PullEnd): boolean {
  return status === undefined || status === 200 || status === 206 || REFUSALS.includes(status)
}

/** How a client pulls. */
export interface PullOptions extends Partial<ByteRange> {
  /** Told how many bytes came; the client reads on when that is done. @default it reads on at once */
  readonly onBytes?: (bytes: number) => Promise<void> | void
  /** Has the client go away. */
  readonly signal?: AbortSignal
}

/** Where to push to and to pull from: a node, or what of it is known on another host. */
type Registry = Pick<MeshNode, 'registryUrl'>

/** A blob that the test knows byte for byte. */
export class KnownBlob {
  readonly repository: string
  readonly content: Buffer
  readonly digest: Digest

  /** The same name and size make the same blob. @param repository one of its own when it is not given */
  constructor(name: string, size: number, repository = `team/${name}`) {
    this.repository = repository
    this.content = Buffer.concat([...noise(name, size)])
    this.digest = digestOf(this.content)
  }

  get size(): number {
    return this.content.length
  }

  /** Pushes it as the layer of an image with the tag `1`. */
  async push(node: Registry): Promise<void> {
    const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: this.digest, size: this.size }
    await pushImage(node.registryUrl, this.repository, '1', layer, [this.content])
  }

  /** Begins to pull it, or the bytes from `start` up to `end`. */
  pull(node: Registry, options: PullOptions = {}): RunningPull {
    const { start = 0, end = this.size } = options
    const url = `${node.registryUrl}/v2/${this.repository}/blobs/${this.digest}`
    const headers = end - start === this.size ? {} : { Range: `bytes=${start}-${end - 1}` }
    return new RunningPull(url, headers, this.content.subarray(start, end), options)
  }
}

/** A client that reads content, as fast as it comes unless it is told otherwise, and compares each byte. */
export class RunningPull {
  /** Rejects when a wrong byte came, or one too many: what must never happen. However else it ends, it resolves. */
  readonly end: Promise<PullEnd>
  readonly #expected: Buffer
  readonly #options: PullOptions
  #bytes = 0

  constructor(url: string, headers: Readonly<Record<string, string>>, expected: Buffer, options: PullOptions) {
    this.#expected = expected
    this.#options = options
    this.end = this.#run(url, headers)
    // Whoever awaits it is told; until then a test may be busy elsewhere.
    this.end.catch(() => {})
  }

  /** How many bytes have come. */
  get bytes(): number {
    return this.#bytes
  }

  async #run(url: string, headers: Readonly<Record<string, string>>): Promise<PullEnd> {
    const { onBytes, signal } = this.#options
    const response = await answerTo(get(url, { agent: false, headers, ...(signal === undefined ? {} : { signal }) }))
    const status = response?.statusCode
    let message = ''
    try {
      for await (const chunk of (response ?? []) as AsyncIterable<Buffer>) {
        if (status === 200 || status === 206) {
          this.#compare(chunk)
          await onBytes?.(chunk.length)
        } else message += chunk.toString()
      }
    } catch (error) {
      if (error instanceof WrongBytesError) throw error
    }
    return { status, bytes: this.#bytes, whole: this.#bytes === this.#expected.length, message }
  }

  #compare(chunk: Buffer): void {
    const end = this.#bytes + chunk.length
    if (!chunk.equals(this.#expected.subarray(this.#bytes, end))) {
      throw new WrongBytesError(`wrong bytes between ${this.#bytes} and ${end}`)
    }
    this.#bytes = end
  }
}

class WrongBytesError extends Error {
  override readonly name = 'WrongBytesError'
}

/** Undefined when the connection was cut before an answer came. */
async function answerTo(request: ClientRequest): Promise<IncomingMessage | undefined> {
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return response
  } catch {
    return undefined
  }
}
