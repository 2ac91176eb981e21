import type { Repository } from '@layermesh/oci'
import { peerIdFromString } from '@libp2p/peer-id'
import { TrustError } from './errors.ts'
import { RepositoryPattern } from './repository-pattern.ts'

/** A peer and the repositories for which it may sign. */
export interface TrustGrant {
  readonly peerId: string
  /**
   * Patterns: `*` stands for any part of one component, `**`, alone in its component, for one or more components.
   * Mirrored repositories are matched only by patterns whose first component is their registry host, spelt out.
   * @default ['**'], all of the mesh's own repositories and none that is mirrored
   */
  readonly repositories?: readonly string[]
}

const OWN_REPOSITORIES: readonly string[] = Object.freeze(['**'])

/** Who may sign for which repository, as the operator said. */
export class TrustPolicy {
  readonly #patterns = new Map<string, RepositoryPattern[]>()

  /** @throws {TrustError} POLICY_INVALID */
  constructor(grants: readonly TrustGrant[]) {
    for (const { peerId, repositories = OWN_REPOSITORIES } of grants) {
      const signer = parseSigner(peerId)
      const patterns = repositories.map((pattern) => new RepositoryPattern(pattern))
      this.#patterns.set(signer, [...(this.#patterns.get(signer) ?? []), ...patterns])
    }
  }

  /** Tells whether a record of this repository counts when this peer signed it. */
  maySign(peerId: string, repository: Repository): boolean {
    return this.#patterns.get(peerId)?.some((pattern) => pattern.matches(repository)) ?? false
  }

  /** The peer ids that may sign anything at all. */
  signers(): string[] {
    return [...this.#patterns.keys()]
  }

  /** The peer ids that may sign for this repository: whom to ask about its tags. */
  signersFor(repository: Repository): string[] {
    return this.signers().filter((peerId) => this.maySign(peerId, repository))
  }
}

/** Ed25519 peer ids only, in their one usual spelling: no other key signs records. */
function parseSigner(text: string): string {
  try {
    const peerId = peerIdFromString(text)
    if (peerId.type === 'Ed25519') return peerId.toString()
  } catch (cause) {
    throw new TrustError('POLICY_INVALID', `trust names ${JSON.stringify(text.slice(0, 100))}, which is no peer id`, {
      cause
    })
  }
  throw new TrustError(
    'POLICY_INVALID',
    `trust names ${text.slice(0, 100)}, which is not the peer id of an Ed25519 key`
  )
}
