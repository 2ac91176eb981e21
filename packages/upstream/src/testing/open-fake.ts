import { onTestFinished } from 'vitest'
import type { UpstreamRegistry } from '../interfaces.ts'
import { DEFAULT_LIMITS, type UpstreamLimits } from '../limits.ts'
import { openRegistry } from '../registry/open-registry.ts'
import type { RegistrySettings } from '../settings.ts'

export interface OpenFakeOptions {
  readonly limits?: Partial<UpstreamLimits>
  /** @default true */
  readonly listed?: boolean
  /** Addresses of names. @default all are at 127.0.0.1 */
  readonly addresses?: Readonly<Record<string, readonly string[]>>
  readonly settings?: Partial<RegistrySettings>
}

/** The client of a registry at `url`, known as `registry.example`. */
export async function openFake(url: string, options: OpenFakeOptions = {}): Promise<Omit<UpstreamRegistry, 'host'>> {
  const { listed = true, addresses, limits, settings } = options
  const resolve = async (host: string) => {
    const known = addresses === undefined ? ['127.0.0.1'] : (addresses[host] ?? [])
    return known.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
  }
  const registry = await openRegistry(
    { resolve, log: { debug: () => {}, warn: () => {} }, env: {}, now: () => performance.now() },
    { host: 'registry.example', url, realmHosts: [], ...settings },
    { listed, userAgent: 'test', limits: { ...DEFAULT_LIMITS, ...limits } }
  )
  onTestFinished(() => registry.close())
  return registry
}
