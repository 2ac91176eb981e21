import { isIPv6 } from 'node:net'
import type { Repository } from '@layermesh/oci'
import {
  type ChallengeScope,
  type ClientProof,
  type Identity,
  type RepositoryAction,
  TOKEN_PATH
} from './access-types.ts'
import type { Authenticator } from './authenticator.ts'
import { isAllowed, isAllowedByCredential, isListed } from './rights.ts'
import type { AccessRules } from './rules.ts'
import { actionsFor, formatScope } from './scope.ts'
import { TOKEN_SERVICE } from './tokens/token-authority.ts'

export interface AccessControlComponents {
  readonly authenticator: Pick<Authenticator, 'identify'>
  /** The rules as they are now. */
  readonly rules: () => AccessRules
}

export interface AccessControlOptions {
  /** What clients are asked for; Basic sends the password with each request. @default 'token' */
  readonly challenge?: 'token' | 'basic'
  /** Where clients reach this registry, when that can't be seen from their requests. */
  readonly publicUrl?: string
}

/** A host as it may stand in a URL; anything else in a Host header leads nowhere. */
const HOST = /^([A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/

/** Who may do what in the registry. */
export class AccessControl {
  readonly #components: AccessControlComponents
  readonly #options: AccessControlOptions

  constructor(components: AccessControlComponents, options: AccessControlOptions = {}) {
    this.#components = components
    this.#options = options
  }

  /**
   * Finds out who a client is; without any proof that is the anonymous.
   * @throws {OciError} UNAUTHORIZED for a wrong or expired credential; TOOMANYREQUESTS after too many wrong ones;
   *   UNAVAILABLE when the identity provider that could tell can't be reached
   */
  async identify(proof: ClientProof, signal: AbortSignal): Promise<Caller> {
    const identity = await this.#components.authenticator.identify(proof)
    signal.throwIfAborted()
    return new Caller(identity, this.#components.rules, proof.authorization)
  }

  /**
   * The value of `WWW-Authenticate` (RFC 9110 §11.6.1; distribution, docs/spec/auth/token.md).
   * @param request where the client believes this registry to be: `host` is its Host header
   * @param scope undefined for `/v2/` itself
   */
  challenge(
    request: { readonly scheme: 'http' | 'https'; readonly host: string | undefined },
    scope: ChallengeScope | undefined,
    error?: 'invalid_token' | 'insufficient_scope'
  ): string {
    const base = this.#options.publicUrl ?? baseOf(request)
    if (this.#options.challenge === 'basic' || base === undefined) return 'Basic realm="layermesh", charset="UTF-8"'
    const parameters = {
      realm: new URL(TOKEN_PATH, base).href,
      service: TOKEN_SERVICE,
      ...(scope === undefined ? {} : { scope: scopeText(scope) }),
      ...(error === undefined ? {} : { error })
    }
    const pairs = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`)
    return `Bearer ${pairs.join(',')}`
  }
}

/** A client, as far as it has proved who it is. */
export class Caller {
  readonly name: string | undefined
  /** What of the credential can be shown to a seed: all of it. Who is nobody shows nothing. */
  readonly credential: string | undefined
  readonly #identity: Identity
  readonly #rules: () => AccessRules

  constructor(identity: Identity, rules: () => AccessRules, authorization: string | undefined) {
    this.name = identity.name
    this.credential = identity.name === undefined ? undefined : authorization
    this.#identity = identity
    this.#rules = rules
  }

  /** By the rules as they are now. */
  may(action: RepositoryAction, repository: Repository): boolean {
    return isAllowed(this.#rules(), this.#identity, action, repository)
  }

  /** Whether it may be told that a repository is there, in the list of all. */
  maySee(repository: Repository): boolean {
    return isListed(this.#rules(), this.#identity, repository)
  }

  /** Whether another token of the same credential could do what this one does not cover. */
  mayWithAnotherToken(action: RepositoryAction, repository: Repository): boolean {
    return isAllowedByCredential(this.#rules(), this.#identity, action, repository)
  }
}

function baseOf({ scheme, host }: { scheme: string; host: string | undefined }): string | undefined {
  const [, name] = HOST.exec(host ?? '') ?? []
  if (name === undefined || (name.startsWith('[') && !isIPv6(name.slice(1, -1)))) return undefined
  const url = `${scheme}://${host}`
  return URL.canParse(url) ? url : undefined
}

function scopeText({ repository, actions }: ChallengeScope): string {
  return formatScope({ type: 'repository', name: repository, actions: actionsFor(actions) })
}
