import { onTestFinished } from 'vitest'
import { DEFAULT_LIMITS, type UpstreamLimits } from '../limits.ts'
import type { ProxyChoice } from '../proxy/proxy.ts'
import { type OpenedRegistry, type OpenRegistryComponents, openRegistry } from '../registry/open-registry.ts'
import type { RegistrySettings } from '../settings.ts'

export interface OpenFakeOptions {
  readonly limits?: Partial<UpstreamLimits>
  /** @default true */
  readonly listed?: boolean
  /** Addresses of names. @default all are at 127.0.0.1 */
  readonly addresses?: Readonly<Record<string, readonly string[]>>
  readonly settings?: Partial<RegistrySettings>
  /** @default nothing is asked by a proxy */
  readonly proxyFor?: ProxyChoice
  readonly components?: Partial<OpenRegistryComponents>
}

/** The client of a registry at `url`, known as `registry.example`. */
export async function openFake(url: string, options: OpenFakeOptions = {}): Promise<OpenedRegistry> {
  const { listed = true, addresses, limits, settings, components, proxyFor = () => undefined } = options
  const resolve = async (host: string) => {
    const known = addresses === undefined ? ['127.0.0.1'] : (addresses[host] ?? [])
    return known.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  const registry = await openRegistry(
    {
      resolve,
      log: { debug: () => {}, info: () => {}, warn: () => {} },
      observer: { asked: () => {}, rateLimit: () => {} },
      env: {},
      now: () => performance.now(),
      ...components
    },
    { host: 'registry.example', url, realmHosts: [], ...settings },
    { listed, label: 'registry.example', proxyFor, userAgent: 'test', limits: { ...DEFAULT_LIMITS, ...limits } }
  )
  onTestFinished(() => registry.close())
  return registry
}
