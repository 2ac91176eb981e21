import { OciError, type Repository } from '@layermesh/oci'
import type { Caller, ChallengeScope, ClientProof, RegistryAccess, RepositoryAction } from '../interfaces.ts'

/** Who may do what, by repository and user; `*` is everybody, also the anonymous. */
export type Grants = Readonly<Record<string, Readonly<Record<string, readonly RepositoryAction[]>>>>

const BASIC = /^Basic (.*)$/
const BEARER = /^Bearer ([^;]*);(.*)$/

/** The header by which a user proves who it is. */
export function basic(user: string, password = `${user}-password`): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

/** The header of a token that covers these actions only; it is the anonymous one's when `user` is empty. */
export function bearer(user: string, ...actions: RepositoryAction[]): { authorization: string } {
  return { authorization: `Bearer ${user};${actions.join(',')}` }
}

/** Access control by a table. A password is right when it is the user's name and `-password`. */
export class FakeAccess implements RegistryAccess {
  readonly proofs: ClientProof[] = []
  readonly #grants: Grants

  constructor(grants: Grants) {
    this.#grants = grants
  }

  async identify(proof: ClientProof): Promise<Caller> {
    this.proofs.push(proof)
    const { authorization, certificate } = proof
    if (authorization === undefined) return this.#caller(certificate && String(certificate.subject.CN))
    const [, user, actions] = BEARER.exec(authorization) ?? []
    if (user !== undefined) return this.#caller(user || undefined, (actions ?? '').split(','))
    const [name = '', password] = Buffer.from(BASIC.exec(authorization)?.[1] ?? '', 'base64')
      .toString()
      .split(':')
    if (name === 'foreign') throw new OciError('UNAVAILABLE', 'the identity provider can not be reached')
    if (name === 'flooding')
      throw Object.assign(new OciError('TOOMANYREQUESTS', 'too many wrong passwords'), { retryAfterMs: 11_100 })
    if (password !== `${name}-password`) throw new OciError('UNAUTHORIZED', 'the password is wrong')
    return this.#caller(name)
  }

  challenge(
    { scheme, host }: { scheme: string; host: string | undefined },
    scope: ChallengeScope | undefined,
    error?: string
  ): string {
    const about = scope === undefined ? '' : `,scope="${scope.repository}:${scope.actions.join(',')}"`
    return `Bearer realm="${scheme}://${host}/auth/token"${about}${error === undefined ? '' : `,error="${error}"`}`
  }

  #caller(name: string | undefined, covered?: readonly string[]): Caller {
    const allows = (action: RepositoryAction, repository: Repository) => {
      const grants = this.#grants[repository] ?? {}
      return [...(grants['*'] ?? []), ...(grants[name ?? '*'] ?? [])].includes(action)
    }
    const covers = (action: RepositoryAction) => covered === undefined || covered.includes(action)
    return {
      name,
      credential: undefined,
      may: (action, repository) => covers(action) && allows(action, repository),
      mayWithAnotherToken: (action, repository) => !covers(action) && allows(action, repository)
    }
  }
}
