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

  /** Whether nobody else has, so that what this node does not know of the repository is not there. */
  isSoleAuthority(repository: Repository): boolean {
    return this.isAuthority(repository) && this.others(repository).length === 0
  }

  /** Peers that hold the digest and say that it is in the repository; what a seed says counts at once. */
  confirm(repository: Repository, digest: Digest, signal: AbortSignal): Promise<string[]> {
    return this.#components.confirm({ digest, repository, authorities: this.others(repository) }, signal)
  }

  /** Has the seed take a manifest and sign its tags. @returns signed records @throws {OciError} UNAVAILABLE, DENIED, or what the seed answered */
  push(push: PushRequest, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.withSeed(push.repository, (seed) => this.#components.client.push(seed, push, signal))
  }

  /** @throws {OciError} UNAVAILABLE, DENIED, or what the seed answered */
  delete(target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    return this.withSeed(target.repository, (seed) => this.#components.client.delete(seed, target, signal))
  }

  /** Has the other seeds that are connected delete as well, as far as they do. @returns whether it was at any of them */
  async deleteAtOthers(target: DeleteRequest, signal: AbortSignal): Promise<boolean> {
    const answers = await this.ask(target.repository, (seed) => this.#components.client.delete(seed, target, signal))
    return answers.includes(true)
  }

  /** Asks the other seeds for the repository that are connected, all at once. @returns what those say that answer */
  ask<T>(repository: Repository, question: (seed: string) => Promise<T>): Promise<T[]> {
    return this.askAll(this.others(repository), question)
  }

  /** The same of all seeds for any repository. */
  askAnySeed<T>(question: (seed: string) => Promise<T>): Promise<T[]> {
    const { trust, peerId } = this.#components
    const seeds = trust.signers().filter((seed) => seed !== peerId)
    return this.askAll(seeds, question)
  }

  private async askAll<T>(seeds: readonly string[], question: (seed: string) => Promise<T>): Promise<T[]> {
    const connected = new Set(this.#components.connected())
    const answers = await Promise.allSettled(seeds.filter((seed) => connected.has(seed)).map(question))
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
  }

  private others(repository: Repository): string[] {
    const { trust, peerId } = this.#components
    return trust.signersFor(repository).filter((signer) => signer !== peerId)
  }

  /** Tells the connected seeds for the repository that this node has all of an image. @returns whether any of them knows now */
  async tellComplete(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { client } = this.#components
    const told = await this.ask(repository, async (seed) => await client.complete(seed, repository, digest, signal))
    return told.length > 0
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
