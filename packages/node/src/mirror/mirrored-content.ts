import type { BlobOrigin } from '@layermesh/mesh'
import type { Digest } from '@layermesh/oci'
import { LRUCache } from 'lru-cache'
import type { MirroredRepository } from './mirrors.ts'

/** What is looked for by its digest. */
export type ContentKind = 'manifest' | 'blob'

export interface MirroredContentComponents {
  readonly log: { debug(fields: object, message: string): void }
}

export interface MirroredContentOptions {
  /** A registry has so long to say whether it has something, in ms. */
  readonly deadlineMs: number
  /** That it has something counts for so long, in ms. */
  readonly presentMs: number
  /** It is not asked again so soon for what it does not have, or when it did not answer, in ms. */
  readonly absentMs: number
  readonly maxRemembered: number
}

const DEFAULTS: MirroredContentOptions = Object.freeze({
  deadlineMs: 12_000,
  presentMs: 60_000,
  absentMs: 5_000,
  maxRemembered: 2_048
})

/** Length in bytes; undefined when the registry does not have it, or does not answer. */
interface Presence {
  readonly size: number | undefined
}

/** Content of other registries, by its digest: whether they have it, and the way to bring it through the mesh. */
export class MirroredContent {
  readonly #components: MirroredContentComponents
  readonly #options: MirroredContentOptions
  readonly #presences: LRUCache<string, Presence>
  readonly #asking = new Map<string, Promise<Presence>>()
  readonly #sizes: LRUCache<Digest, number>
  readonly #brought: LRUCache<Digest, true>

  constructor(components: MirroredContentComponents, options: Partial<MirroredContentOptions> = {}) {
    this.#components = components
    this.#options = { ...DEFAULTS, ...options }
    const { maxRemembered: max } = this.#options
    this.#presences = new LRUCache({ max })
    this.#sizes = new LRUCache({ max })
    this.#brought = new LRUCache({ max })
  }

  /** Where the mesh gets it when no node has it. */
  origin({ registry, name, host }: MirroredRepository, kind: ContentKind): BlobOrigin {
    return {
      name: host,
      open: async (digest, start, signal) => {
        if (kind === 'manifest') {
          const manifest = await registry.getManifest(name, digest, { signal })
          if (manifest === undefined) return undefined
          this.#brought.set(digest, true)
          return { size: manifest.size, body: once(manifest.bytes.subarray(start)) }
        }
        const blob = await registry.openBlob(name, digest, start, { signal })
        if (blob !== undefined) this.#brought.set(digest, true)
        return blob
      }
    }
  }

  /** Whether this node itself brought it from its registry, and not long ago. */
  wasBroughtHere(digest: Digest): boolean {
    return this.#brought.has(digest)
  }

  /** Remembers lengths that a manifest told. */
  learnSizes(descriptors: readonly { readonly digest: Digest; readonly size: number }[]): void {
    for (const { digest, size } of descriptors) this.#sizes.set(digest, size)
  }

  /** The length that a manifest told of it, not long ago. */
  knownSize(digest: Digest): number | undefined {
    return this.#sizes.get(digest)
  }

  /** Asks the registry whether it has this in the repository. @returns its length; undefined when it does not say so. Never rejects. */
  async ask(mirrored: MirroredRepository, digest: Digest, kind: ContentKind): Promise<number | undefined> {
    const key = `${kind} ${mirrored.repository}@${digest}`
    const known = this.#presences.get(key)
    if (known) return known.size
    let asking = this.#asking.get(key)
    if (!asking) {
      asking = this.askNow(mirrored, digest, kind, key).finally(() => this.#asking.delete(key))
      this.#asking.set(key, asking)
    }
    return (await asking).size
  }

  private async askNow(
    { registry, name, repository, host }: MirroredRepository,
    digest: Digest,
    kind: ContentKind,
    key: string
  ): Promise<Presence> {
    const { presentMs, absentMs, deadlineMs } = this.#options
    const request = { signal: AbortSignal.timeout(deadlineMs) }
    const presence: Presence = { size: undefined }
    const answer = await (kind === 'blob'
      ? registry.headBlob(name, digest, request)
      : registry.headManifest(name, digest, request).then((head) => head?.size)
    ).then(
      (size): Presence => ({ size }),
      (error: unknown) => {
        this.#components.log.debug(
          { repository, digest, host, err: error },
          'a registry did not say whether it has this'
        )
        return presence
      }
    )
    this.#presences.set(key, answer, { ttl: answer.size === undefined ? absentMs : presentMs })
    return answer
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes
}
