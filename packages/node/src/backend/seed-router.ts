import type { DeleteRequest, MembershipQuestion, PushRequest, TagClient } from '@layermesh/mesh'
import { type Digest, isOciError, OciError, type Repository } from '@layermesh/oci'
import type { TrustPolicy } from '@layermesh/trust'

export interface SeedRouterComponents {
  readonly peerId: string
  readonly trust: TrustPolicy
  readonly client: TagClient
  connected(): string[]
  /** Asks the mesh whether a digest is in a repository. */
  confirm(question: MembershipQuestion, signal: AbortSignal): Promise<string[]>
}

/** Finds the seed that has the say over a repository, and passes on what only it may do. */
export class SeedRouter {
  readonly #components: SeedRouterComponents

  constructor(components: SeedRouterComponents) {
    this.#components = components
  }

  /** Whether this node itself has the say. */
  isAuthority(repository: Repository): boolean {
    const { trust, peerId } = this.#components
    return trust.maySign(peerId, repository)
  }

  /** Peers that hold the digest and say that it is in the repository; what a seed says counts at once. */
  confirm(repository: Repository, digest: Digest, signal: AbortSignal): Promise<string[]> {
    const { confirm, trust } = this.#components
    return confirm({ digest, repository, authorities: trust.signersFor(repository) }, signal)
  }

  /** Has the seed take a manifest and sign its tags. @returns signed records @throws {OciError} UNAVAILABLE, DENIED, or what the seed answered */
  push(push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.withSeed(push.repository, (seed) => this.#components.client.push(seed, push, signal))
  }

  /** @throws {OciError} UNAVAILABLE, DENIED, or what the seed answered */
  delete(target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    return this.withSeed(target.repository, (seed) => this.#components.client.delete(seed, target, signal))
  }

  /** Asks the seeds for the repository, one after the other; undefined when none of them answers. */
  async ask<T>(repository: Repository, question: (seed: string) => Promise<T>): Promise<T | undefined> {
    const connected = new Set(this.#components.connected())
    for (const seed of this.#components.trust.signersFor(repository)) {
      if (!connected.has(seed)) continue
      try {
        return await question(seed)
      } catch {
        // The next one may know; with none left the caller goes by what is here.
      }
    }
    return undefined
  }

  private async withSeed<T>(repository: Repository, act: (seed: string) => Promise<T>): Promise<T> {
    const { trust, connected } = this.#components
    const seeds = trust.signersFor(repository)
    if (seeds.length === 0) {
      throw new OciError(
        'DENIED',
        'no seed is trusted to sign for this repository; the trust setting of the nodes says which are',
        { detail: { repository } }
      )
    }
    const here = new Set(connected())
    let cause: unknown
    for (const seed of [...seeds].sort((a, b) => Number(here.has(b)) - Number(here.has(a)))) {
      try {
        return await act(seed)
      } catch (error) {
        if (isOciError(error)) throw error
        cause = error
      }
    }
    throw new OciError('UNAVAILABLE', 'no seed can be reached to sign this; try again when it is back', {
      detail: { seeds },
      cause
    })
  }
}
