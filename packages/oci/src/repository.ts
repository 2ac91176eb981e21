import { OciError } from './errors.ts'

/**
 * The key by which the mesh knows a repository: `team/app` for its own, `docker.io/library/nginx` for one that is
 * mirrored from another registry. A first component with a dot or a colon, or `localhost`, is a registry host.
 */
export type Repository = string & { readonly __repository: unique symbol }

/** A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, case-sensitive. */
export type Tag = string & { readonly __tag: unique symbol }

const NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
const HOST = /^(localhost|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)(:[0-9]{1,5})?$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const MAX_NAME_LENGTH = 255
const DOCKER_HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

/** Checks a repository name (distribution-spec §Pulling manifests), without regard to a host. @throws {OciError} NAME_INVALID */
export function parseRepositoryName(name: string): string {
  if (name.length <= MAX_NAME_LENGTH && NAME.test(name)) return name
  throw new OciError(
    'NAME_INVALID',
    'a repository name is lower-case words parted by . _ - and /, 255 characters at most',
    {
      detail: { name: name.slice(0, MAX_NAME_LENGTH + 1) }
    }
  )
}

/** Reads a tag. @throws {OciError} TAG_INVALID */
export function parseTag(text: string): Tag {
  if (TAG.test(text)) return text as Tag
  throw new OciError('TAG_INVALID', 'a tag is up to 128 letters, digits, _ . and -, and starts with none of . and -', {
    detail: { tag: text.slice(0, 200) }
  })
}

/** Tells whether the first component of a name is a registry host rather than a part of the name. */
export function looksLikeHost(component: string): boolean {
  return component === 'localhost' || ((component.includes('.') || component.includes(':')) && HOST.test(component))
}

/**
 * One name for each registry: Docker Hub's three hosts become `docker.io`; others are lower-cased. A bare word is
 * refused: as a first component it would name one of the mesh's own repositories.
 * @throws {OciError} NAME_INVALID
 */
export function normalizeRegistryHost(host: string): string {
  const lower = host.toLowerCase()
  if (DOCKER_HUB.has(lower)) return 'docker.io'
  if (lower.length <= MAX_NAME_LENGTH && looksLikeHost(lower)) return lower
  throw new OciError('NAME_INVALID', 'a registry host is localhost or a name with a dot or a port', {
    detail: { host: host.slice(0, MAX_NAME_LENGTH + 1) }
  })
}

/**
 * Reads the key of a repository, `[host/]name`; one-component names of Docker Hub get their `library/`.
 * @throws {OciError} NAME_INVALID
 */
export function parseRepository(text: string): Repository {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  return looksLikeHost(first) ? mirroredRepository(first, text.slice(slash + 1)) : ownRepository(text)
}

/** The key of one of the mesh's own repositories. @throws {OciError} NAME_INVALID, also for a name that starts with a host */
export function ownRepository(name: string): Repository {
  const repository = parseRepositoryName(name) as Repository
  if (registryHostOf(repository) === undefined) return repository
  throw new OciError('NAME_INVALID', 'a repository of the mesh can not start with a registry host', {
    detail: { name }
  })
}

/** The key of the repository `name` at the registry `host`. @throws {OciError} NAME_INVALID */
export function mirroredRepository(host: string, name: string): Repository {
  const registry = normalizeRegistryHost(host)
  const whole = registry === 'docker.io' && !name.includes('/') ? `library/${name}` : name
  return `${registry}/${parseRepositoryName(whole)}` as Repository
}

/** The registry host of a mirrored repository; undefined for the mesh's own. */
export function registryHostOf(repository: Repository): string | undefined {
  const first = repository.slice(0, Math.max(repository.indexOf('/'), 0))
  return looksLikeHost(first) ? first : undefined
}
