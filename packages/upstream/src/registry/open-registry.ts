import { Fingerprint } from '../auth/fingerprint.ts'
import { openAuthorizer } from '../auth/open-authorizer.ts'
import type { CredentialComponents } from '../credentials/components.ts'
import { readCertificates } from '../http/certificates.ts'
import type { Resolve } from '../http/connector.ts'
import { Exchange } from '../http/exchange.ts'
import { Transport } from '../http/transport.ts'
import type { UpstreamRegistry } from '../interfaces.ts'
import type { UpstreamLimits } from '../limits.ts'
import type { UpstreamObserver } from '../observer.ts'
import { pauseForRateLimit, pauseForUnreachable } from '../pace/pauses.ts'
import { Slots } from '../pace/slots.ts'
import type { ProxyChoice } from '../proxy/proxy.ts'
import type { RegistrySettings } from '../settings.ts'
import { UpstreamBlobs } from './blobs.ts'
import { UpstreamLists } from './lists.ts'
import { UpstreamManifests } from './manifests.ts'
import { Requests } from './requests.ts'

export interface UpstreamLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface OpenRegistryComponents {
  readonly resolve: Resolve
  readonly log: UpstreamLog
  readonly observer: UpstreamObserver
  /** The environment, for sources of credentials. */
  readonly env: CredentialComponents['env']
  /** Milliseconds of a clock that never goes back. */
  now(): number
}

export interface OpenRegistryOptions {
  /** Whether the operator listed it. */
  readonly listed: boolean
  /** As what it is counted. */
  readonly label: string
  readonly proxyFor: ProxyChoice
  readonly userAgent: string
  readonly limits: UpstreamLimits
}

/** A registry whose connections are open, or will be. */
export interface OpenedRegistry extends Omit<UpstreamRegistry, 'host'> {
  /** Takes no more questions, and lets go of the connections once those before are answered. */
  retire(): Promise<void>
  /** Ends all connections. */
  close(): Promise<void>
}

/** Puts together the client of one registry. @throws {UpstreamError} UNREACHABLE for a caFile that can't be used */
export async function openRegistry(
  components: OpenRegistryComponents,
  settings: RegistrySettings,
  options: OpenRegistryOptions
): Promise<OpenedRegistry> {
  const { host: registry, caFile } = settings
  const { listed, label, proxyFor, userAgent, limits } = options
  const origin = new URL(settings.url)
  const ca = caFile === undefined ? {} : { ca: await readCertificates(registry, caFile) }
  const stopping = new AbortController()
  const transport = new Transport(components, {
    ...limits,
    origin,
    listed,
    proxyFor,
    userAgent,
    maxConnections: connections(limits),
    ...ca
  })
  const exchange = new Exchange(
    { transport, unreachable: pauseForUnreachable(components, { ...limits, registry }) },
    { registry }
  )
  const fingerprint = new Fingerprint()
  const authorizer = await openAuthorizer(
    { ...components, exchange, fingerprint, proxyFor, stopped: stopping.signal, ...ca },
    { ...settings, tokenTimeoutMs: limits.tokenTimeoutMs }
  )
  const requests = new Requests(
    {
      exchange,
      authorizer,
      fingerprint,
      observer: components.observer,
      limited: pauseForRateLimit(components, { ...limits, registry }),
      slots: { blobs: new Slots(limits.maxBlobs), others: new Slots(limits.maxRequests) }
    },
    { ...limits, registry, label, origin }
  )
  const manifests = new UpstreamManifests(requests, registry)
  const blobs = new UpstreamBlobs({ requests, exchange }, { ...limits, registry })
  const lists = new UpstreamLists({ requests, manifests }, registry)
  return {
    headManifest: (name, reference, request) => manifests.head(name, reference, request),
    getManifest: (name, reference, request) => manifests.get(name, reference, request),
    headBlob: (name, digest, request) => blobs.head(name, digest, request),
    openBlob: (name, digest, start, request) => blobs.open(name, digest, start, request),
    referrers: (name, subject, request) => lists.referrers(name, subject, request),
    listTags: (name, page, request) => lists.tags(name, page, request),
    retire: () => transport.retire(),
    close: () => {
      stopping.abort()
      return transport.close()
    }
  }
}

/** Blobs, other requests, and tokens of the same service beside them. */
function connections({ maxBlobs, maxRequests }: UpstreamLimits): number {
  return maxBlobs + 2 * maxRequests
}
