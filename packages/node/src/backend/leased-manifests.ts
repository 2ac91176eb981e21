import type { Leases } from '@layermesh/content'
import { type Digest, isOciError, parseManifest, type Repository, referencedDescriptors } from '@layermesh/oci'
import type { RegistryManifests, StoredManifest } from '@layermesh/registry'
import { LRUCache } from 'lru-cache'

/** Digests that are remembered of manifests that were asked for lately, so that those are not read anew each time. */
const MAX_NAMES = 4_096

/**
 * The same manifests. Who is given one will ask for what it names: that is not removed for a while, as far as it is here.
 */
export class LeasedManifests implements RegistryManifests {
  readonly #manifests: RegistryManifests
  readonly #leases: Leases
  readonly #names = new LRUCache<Digest, readonly Digest[]>({
    maxSize: MAX_NAMES,
    sizeCalculation: (names) => Math.max(1, names.length)
  })

  constructor(manifests: RegistryManifests, leases: Leases) {
    this.#manifests = manifests
    this.#leases = leases
  }

  async get(repository: Repository, digest: Digest, signal: AbortSignal): Promise<StoredManifest | undefined> {
    const manifest = await this.#manifests.get(repository, digest, signal)
    if (manifest) await this.#leases.renew([digest, ...this.#namesOf(manifest)])
    return manifest
  }

  put(...call: Parameters<RegistryManifests['put']>): ReturnType<RegistryManifests['put']> {
    return this.#manifests.put(...call)
  }

  delete(...call: Parameters<RegistryManifests['delete']>): ReturnType<RegistryManifests['delete']> {
    return this.#manifests.delete(...call)
  }

  referrers(...call: Parameters<RegistryManifests['referrers']>): ReturnType<RegistryManifests['referrers']> {
    return this.#manifests.referrers(...call)
  }

  #namesOf({ digest, bytes }: StoredManifest): readonly Digest[] {
    const known = this.#names.get(digest)
    if (known !== undefined) return known
    const names = readNames(bytes)
    this.#names.set(digest, names)
    return names
  }
}

function readNames(bytes: Uint8Array): Digest[] {
  try {
    return referencedDescriptors(parseManifest(bytes)).map((descriptor) => descriptor.digest)
  } catch (error) {
    if (isOciError(error)) return []
    throw error
  }
}
