import {
  isOciError,
  looksLikeHost,
  mirroredRepository,
  normalizeRegistryHost,
  type Repository,
  registryHostOf
} from '@layermesh/oci'
import { TrustError } from './errors.ts'

const COMPONENT = /^([a-z0-9._*-]+)$/
const MAX_PATTERN_LENGTH = 512
const EVERYTHING = '**'

/** One glob over repositories; its host, if it has one, is compared literally. */
export class RepositoryPattern {
  /** Whether it is `**`, all of the mesh's own repositories. */
  readonly isEverything: boolean
  readonly #host: string | undefined
  readonly #glob: RegExp

  /** @throws {TrustError} POLICY_INVALID */
  constructor(pattern: string) {
    const { host, path } = splitPattern(pattern)
    this.isEverything = pattern === EVERYTHING
    this.#host = host
    this.#glob = globOf(path, pattern)
  }

  matches(repository: Repository): boolean {
    const host = registryHostOf(repository)
    if (host !== this.#host) return false
    return this.#glob.test(host === undefined ? repository : repository.slice(host.length + 1))
  }
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
