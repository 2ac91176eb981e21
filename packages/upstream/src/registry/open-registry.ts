import { readFile } from 'node:fs/promises'
import { Authorizer } from '../auth/authorizer.ts'
import { TokenCache } from '../auth/token-cache.ts'
import { TokenService } from '../auth/token-service.ts'
import type { CredentialComponents } from '../credentials/components.ts'
import { createCredentialSource } from '../credentials/create-credential-source.ts'
import { UpstreamError } from '../errors.ts'
import type { Resolve } from '../http/connector.ts'
import { Exchange } from '../http/exchange.ts'
import { Transport } from '../http/transport.ts'
import type { UpstreamRegistry } from '../interfaces.ts'
import type { UpstreamLimits } from '../limits.ts'
import type { RegistrySettings } from '../settings.ts'
import { UpstreamBlobs } from './blobs.ts'
import { UpstreamLists } from './lists.ts'
import { UpstreamManifests } from './manifests.ts'
import { Requests } from './requests.ts'
import { Slots } from './slots.ts'

export interface OpenRegistryComponents {
  readonly resolve: Resolve
  readonly log: CredentialComponents['log']
  /** The environment, for sources of credentials. */
  readonly env: CredentialComponents['env']
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface OpenRegistryOptions {
  /** Whether the operator listed it. */
  readonly listed: boolean
  readonly userAgent: string
  readonly limits: UpstreamLimits
}

/** A registry whose connections are open, or will be. */
export interface OpenedRegistry extends Omit<UpstreamRegistry, 'host'> {
  close(): Promise<void>
}

/** Puts together the client of one registry. @throws {UpstreamError} CREDENTIALS_UNAVAILABLE for a file that can't be read */
export async function openRegistry(
  { resolve, log, env, now }: OpenRegistryComponents,
  { host: registry, url, caFile, realmHosts, credentials: source }: RegistrySettings,
  { listed, userAgent, limits }: OpenRegistryOptions
): Promise<OpenedRegistry> {
  const origin = new URL(url)
  const ca = caFile === undefined ? {} : { ca: await readCertificates(registry, caFile) }
  const transport = new Transport({ resolve }, { ...limits, origin, listed, userAgent, ...ca })
  const exchange = new Exchange({ transport }, { registry, origin })
  const send: Exchange['send'] = (request, signal) => exchange.send(request, signal)
  const service = new TokenService({ send }, registry)
  const fetch: TokenService['fetch'] = (request, signal) => service.fetch(request, signal)
  const tokens = new TokenCache(
    { fetch, now },
    { maxTokens: 500, fetchTimeoutMs: limits.tokenTimeoutMs, marginMs: 5_000 }
  )
  const stopping = new AbortController()
  const credentials =
    source && (await createCredentialSource(source, { log, env, ...ca, clock: Date.now, stopped: stopping.signal }))
  const authorizer = new Authorizer({ tokens, credentials, send }, { registry, origin, realmHosts })
  const slots = new Slots(limits.maxRequests)
  const requests = new Requests({ exchange, authorizer, slots }, { ...limits, registry, origin })
  const manifests = new UpstreamManifests(requests, registry)
  const blobs = new UpstreamBlobs({ requests, exchange }, registry)
  const lists = new UpstreamLists({ requests, manifests }, registry)
  return {
    headManifest: (name, reference, request) => manifests.head(name, reference, request),
    getManifest: (name, reference, request) => manifests.get(name, reference, request),
    headBlob: (name, digest, request) => blobs.head(name, digest, request),
    openBlob: (name, digest, start, request) => blobs.open(name, digest, start, request),
    referrers: (name, subject, request) => lists.referrers(name, subject, request),
    listTags: (name, page, request) => lists.tags(name, page, request),
    close: () => {
      stopping.abort()
      return transport.close()
    }
  }
}

async function readCertificates(registry: string, path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8')
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  } catch (cause) {
    throw new UpstreamError('UNREACHABLE', registry, `${registry}: its caFile ${path} can not be read`, { cause })
  }
  throw new UpstreamError('UNREACHABLE', registry, `${registry}: its caFile ${path} holds no certificate in PEM`)
}
