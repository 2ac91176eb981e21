import type { Credential, CredentialSource, IssuedCredential } from '../interfaces.ts'
import type { CredentialComponents } from './components.ts'
import { CredentialCache, type CredentialCacheOptions, type Issued } from './credential-cache.ts'

/** Something that is asked for a credential: a program, the API of a cloud. */
export interface CredentialIssuer {
  /** What it is, for logs: `ecr`. */
  readonly name: string
  /**
   * @returns undefined when it has none for this registry
   * @throws {UpstreamError} CREDENTIALS_UNAVAILABLE; whatever else it throws is not shown, since it may quote a secret
   */
  issue(host: string, signal: AbortSignal): Promise<Issued<Credential | undefined>>
}

/** A source whose credentials count for a whole registry, kept as long as they hold. */
export class CachedSource implements CredentialSource {
  readonly name: string
  readonly #issuer: CredentialIssuer
  readonly #cache: CredentialCache<Credential | undefined>

  constructor(issuer: CredentialIssuer, components: CredentialComponents, options: CredentialCacheOptions = {}) {
    this.name = issuer.name
    this.#issuer = issuer
    this.#cache = new CredentialCache({ ...components, name: issuer.name }, options)
  }

  async get(host: string, _repository: string, signal: AbortSignal): Promise<IssuedCredential | undefined> {
    const issue = (deadline: AbortSignal) => this.#issuer.issue(host, deadline)
    const { value, expiresAt } = await this.#cache.get(host, [host], issue, signal)
    if (value === undefined) return undefined
    return { credential: value, ...(expiresAt === undefined ? {} : { expiresAt }) }
  }

  refused(credential: Credential): void {
    this.#cache.refuse((held) => held !== undefined && isSameCredential(held, credential))
  }
}

function isSameCredential(one: Credential, other: Credential): boolean {
  if (one.kind === 'password') {
    return other.kind === 'password' && one.username === other.username && one.password === other.password
  }
  return other.kind === one.kind && one.token === other.token
}
