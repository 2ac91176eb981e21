import type { CredentialComponents } from '../credentials/components.ts'
import { createCredentialSource } from '../credentials/create-credential-source.ts'
import type { Exchange } from '../http/exchange.ts'
import type { RegistrySettings } from '../settings.ts'
import { Authorizer } from './authorizer.ts'
import type { Fingerprint } from './fingerprint.ts'
import { TokenCache } from './token-cache.ts'
import { TokenService } from './token-service.ts'

export interface OpenAuthorizerComponents extends Omit<CredentialComponents, 'clock'> {
  readonly exchange: Exchange
  readonly fingerprint: Fingerprint
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface OpenAuthorizerOptions extends Pick<RegistrySettings, 'host' | 'url' | 'realmHosts' | 'credentials'> {
  /** For fetching one token. */
  readonly tokenTimeoutMs: number
}

/** Of all who ask, and all repositories. */
const MAX_TOKENS = 500
/** So long before its end a token counts no more. */
const TOKEN_MARGIN_MS = 10_000
/** Services lock accounts out for which wrong passwords are shown again and again. */
const REFUSED_MS = 30_000

/** What is shown to a registry: tokens of its service, and where the credentials for these come from. */
export async function openAuthorizer(
  { exchange, fingerprint, now, log, ...others }: OpenAuthorizerComponents,
  { host: registry, url, realmHosts, credentials: source, tokenTimeoutMs: fetchTimeoutMs }: OpenAuthorizerOptions
): Promise<Authorizer> {
  const send: Exchange['send'] = (request, signal) => exchange.send(request, signal)
  const service = new TokenService({ send, now: Date.now }, registry)
  const fetch: TokenService['fetch'] = (request, signal) => service.fetch(request, signal)
  const options = { maxTokens: MAX_TOKENS, fetchTimeoutMs, marginMs: TOKEN_MARGIN_MS, refusedMs: REFUSED_MS }
  const tokens = new TokenCache({ fetch, fingerprint, now }, options)
  const credentials = source && (await createCredentialSource(source, { ...others, log, clock: Date.now }))
  return new Authorizer({ tokens, credentials, log, send }, { registry, origin: new URL(url), realmHosts })
}
