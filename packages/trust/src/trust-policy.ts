import {
  isOciError,
  looksLikeHost,
  mirroredRepository,
  normalizeRegistryHost,
  type Repository,
  registryHostOf
} from '@layermesh/oci'
import { peerIdFromString } from '@libp2p/peer-id'
import { TrustError } from './errors.ts'

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
const COMPONENT = /^([a-z0-9._*-]+)$/
const MAX_PATTERN_LENGTH = 512

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

/** One glob over repositories; its host, if it has one, is compared literally. */
class RepositoryPattern {
  readonly #host: string | undefined
  readonly #glob: RegExp

  constructor(pattern: string) {
    const { host, path } = splitPattern(pattern)
    this.#host = host
    this.#glob = globOf(path, pattern)
  }

  matches(repository: Repository): boolean {
    const host = registryHostOf(repository)
    if (host !== this.#host) return false
    return this.#glob.test(host === undefined ? repository : repository.slice(host.length + 1))
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

function splitPattern(pattern: string): { host?: string; path: string } {
  const slash = pattern.indexOf('/')
  const first = pattern.slice(0, Math.max(slash, 0)).toLowerCase()
  if (first.includes('*') && first.includes('.')) throw invalidPattern(pattern, 'a registry host can not hold *')
  if (!looksLikeHost(first)) return { path: pattern }
  const host = normalizeRegistryHost(first)
  const path = pattern.slice(slash + 1)
  return { host, path: path.includes('*') ? path : exactPath(host, path, pattern) }
}

/** The path under which the mesh knows `host/path`: Docker Hub's one-component names get their `library/`. */
function exactPath(host: string, path: string, pattern: string): string {
  try {
    return mirroredRepository(host, path).slice(host.length + 1)
  } catch (error) {
    throw isOciError(error) ? invalidPattern(pattern, error.message) : error
  }
}

function globOf(path: string, pattern: string): RegExp {
  if (pattern.length > MAX_PATTERN_LENGTH) throw invalidPattern(pattern, 'it is too long')
  const components = path.split('/').map((component) => globOfComponent(component, pattern))
  return new RegExp(`^${components.join('/')}$`)
}

function globOfComponent(component: string, pattern: string): string {
  if (component === '**') return '.+'
  if (component.includes('**')) throw invalidPattern(pattern, '** must stand alone between slashes')
  if (!COMPONENT.test(component)) throw invalidPattern(pattern, 'it has a component that no repository can have')
  return component.replaceAll('.', '\\.').replaceAll('*', '[^/]*')
}

function invalidPattern(pattern: string, reason: string): TrustError {
  return new TrustError(
    'POLICY_INVALID',
    `trust has the repository pattern ${JSON.stringify(pattern.slice(0, 100))}: ${reason}`
  )
}
