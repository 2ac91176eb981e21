import type { RequestListener } from 'node:http'
import {
  AccessControl,
  AccessRules,
  ApiKeys,
  Authenticator,
  BcryptThread,
  createTokenEndpoint,
  fetchJson,
  Htpasswd,
  IssuerKeys,
  type LoginEvent,
  LoginThrottle,
  OidcIssuer,
  PasswordChecker,
  TokenAuthority,
  TokenService
} from '@layermesh/access'
import type { TagClient } from '@layermesh/mesh'
import { isOciError, type Repository } from '@layermesh/oci'
import { addressRepository, proofOf, type RegistryAccess } from '@layermesh/registry'
import { type PrivateKey, signingKeyOf, type TrustPolicy } from '@layermesh/trust'
import type { NodeConfig } from '../config/node-config.ts'
import type { Logger } from '../log.ts'
import type { Rosters } from '../roster/rosters.ts'
import type { TokenIssuer } from '../tags/tag-handler.ts'
import { readCa } from './access-files.ts'
import { createAskSeed } from './ask-seed.ts'

type AccessConfig = NonNullable<NodeConfig['access']>

export interface NodeAccessComponents {
  readonly peerId: string
  readonly privateKey: PrivateKey
  readonly trust: Pick<TrustPolicy, 'maySign' | 'isSigner' | 'signers'>
  readonly rosters: Pick<Rosters, 'findKey'>
  readonly client: Pick<TagClient, 'authenticate'>
  connected(): readonly string[]
  readonly log: Logger
  /** Told of each log-in that succeeded or failed. */
  readonly onLogin?: (event: LoginEvent) => void
}

/** Access control of a node. */
export interface NodeAccess {
  /** For the registry, and for what other nodes pass on. */
  readonly control: RegistryAccess
  /** Where clients get tokens. */
  readonly tokenEndpoint: RequestListener
  /** Makes tokens for the clients of other nodes. */
  readonly tokenIssuer: TokenIssuer
  /** Has other rules and groups count from now on, for tokens that were given before as well. @throws {AccessError} RULES_INVALID */
  setRules(config: Pick<AccessConfig, 'rules' | 'groups'>): void
  close(): Promise<void>
}

/**
 * Puts access control together as it is configured.
 * @throws {AccessError} for users, rules and identity providers that can't be used; {ConfigError} for a CA file
 */
export async function createNodeAccess(
  components: NodeAccessComponents,
  { role, access, registry }: Pick<NodeConfig, 'role' | 'registry'> & { readonly access: AccessConfig }
): Promise<NodeAccess> {
  const isSeed = role === 'seed'
  const { peerId, privateKey, trust, rosters, log, onLogin } = components
  const clock = Date.now
  let rules = new AccessRules(access.rules, access.groups)
  const throttle = new LoginThrottle({ clock })
  const bcrypt = new BcryptThread()
  const users = access.htpasswd === undefined ? undefined : await Htpasswd.open(access.htpasswd, { log })
  const tokens = new TokenAuthority(
    { peerId, signingKey: signingKeyOf(privateKey), signers: trust, clock },
    { accessValidityMs: access.tokenValidityMs, refreshValidityMs: access.refreshTokenValidityMs }
  )
  const authenticator = new Authenticator({
    users,
    passwords: users === undefined ? undefined : new PasswordChecker({ users, bcrypt, throttle, clock }),
    apiKeys: new ApiKeys({ directory: { find: (id) => rosters.findKey(id)?.key }, clock }),
    issuers: await Promise.all(access.oidc.map((settings) => createIssuer(settings, log))),
    certificateName: access.clientCertificates?.name,
    tokens,
    passesOn: !isSeed,
    clock,
    ...(onLogin === undefined ? {} : { onLogin })
  })
  const repositoryOf = (name: string) => repositoryNamed(name, registry.ownHosts)
  const service = new TokenService({
    authenticator,
    tokens,
    rules: () => rules,
    throttle,
    repositoryOf,
    askSeed: createAskSeed({ ...components, isSeed, repositoryOf }),
    isSeed
  })
  const { challenge } = access
  const { publicUrl, behindTlsProxy } = registry
  const control = new AccessControl(
    { authenticator, rules: () => rules },
    { challenge, ...(publicUrl === undefined ? {} : { publicUrl }) }
  )
  return {
    control,
    tokenEndpoint: createTokenEndpoint({ service, proofOf: (request) => proofOf(request, behindTlsProxy), log }),
    tokenIssuer: {
      issue: (request, from, signal) => service.answer({ ...request, address: `${from}/${request.address}` }, signal)
    },
    setRules: (given) => {
      rules = new AccessRules(given.rules, given.groups)
    },
    close: () => bcrypt.close()
  }
}

async function createIssuer({ caFile, ...settings }: AccessConfig['oidc'][number], log: Logger): Promise<OidcIssuer> {
  const ca = caFile === undefined ? undefined : await readCa(caFile)
  const clock = Date.now
  const keys = new IssuerKeys(settings.issuer, {
    fetchJson: (url, signal) => fetchJson(url, { signal, ...(ca === undefined ? {} : { ca }) }),
    clock,
    log
  })
  return new OidcIssuer({ keys, clock }, settings)
}

/** What a client means by the name in a scope, which is the one in the paths of its requests. */
function repositoryNamed(name: string, ownHosts: readonly string[]): Repository | undefined {
  try {
    return addressRepository(name, undefined, ownHosts)
  } catch (error) {
    if (isOciError(error)) return undefined
    throw error
  }
}
