import { lookup } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import { UpstreamError } from './errors.ts'
import type { UpstreamRegistry, Upstreams } from './interfaces.ts'
import { LazyRegistry } from './lazy-registry.ts'
import { DEFAULT_LIMITS, type UpstreamLimits } from './limits.ts'
import { OTHER_REGISTRIES } from './observer.ts'
import { chooseProxy } from './proxy/choose-proxy.ts'
import type { ProxyChoice } from './proxy/proxy.ts'
import type { OpenedRegistry, OpenRegistryComponents } from './registry/open-registry.ts'
import type { RegistrySettings, UpstreamsSettings } from './settings.ts'

export type UpstreamsComponents = Omit<OpenRegistryComponents, 'resolve' | 'now'>

export interface UpstreamsOptions {
  readonly userAgent: string
  readonly limits?: Partial<UpstreamLimits>
}

/** Registries that are not listed, of which each holds its own connections and tokens. */
const MAX_OTHERS = 50
const DOCKER_HUB = 'https://registry-1.docker.io'

/** Where a registry is that nothing was said of. @param host as repositories name it, such as `docker.io` */
export function originOfRegistry(host: string): string {
  return host === 'docker.io' ? DOCKER_HUB : `https://${host}`
}

/**
 * The registries that may be asked. Nothing is loaded, and nothing connected to, before one is asked something.
 * @throws {TypeError} for a proxy that is none; its message does not show it
 */
export function openUpstreams(
  components: UpstreamsComponents,
  settings: UpstreamsSettings,
  options: UpstreamsOptions
): Upstreams {
  return new UpstreamSet(components, settings, options)
}

class UpstreamSet implements Upstreams {
  readonly #components: UpstreamsComponents
  readonly #settings: UpstreamsSettings
  readonly #options: UpstreamsOptions
  readonly #listed: ReadonlyMap<string, LazyRegistry>
  readonly #excluded: ReadonlySet<string>
  readonly #others = new LRUCache<string, LazyRegistry>({
    max: MAX_OTHERS,
    dispose: (registry) => void registry.retire()
  })
  /** All that may have connections, those too that were let go of and are not done yet. */
  readonly #open = new Set<OpenedRegistry>()

  /** For those without a proxy of their own. */
  readonly #proxyFor: ProxyChoice
  #closed = false

  constructor(components: UpstreamsComponents, settings: UpstreamsSettings, options: UpstreamsOptions) {
    this.#components = components
    this.#proxyFor = chooseProxy({ common: settings.proxy, env: components.env })
    this.#settings = settings
    this.#options = options
    this.#excluded = new Set(settings.excluded)
    this.#listed = new Map(settings.registries.map((registry) => [registry.host, this.#lazily(registry, true)]))
  }

  get defaultHost(): string | undefined {
    const { defaultHost } = this.#settings
    return defaultHost === undefined || this.get(defaultHost) === undefined ? undefined : defaultHost
  }

  get(host: string): UpstreamRegistry | undefined {
    if (this.#excluded.has(host)) return undefined
    const known = this.#listed.get(host) ?? this.#others.get(host)
    if (known !== undefined || this.#settings.others === 'none') return known
    const registry = this.#lazily({ host, url: originOfRegistry(host), realmHosts: [] }, false)
    this.#others.set(host, registry)
    return registry
  }

  async close(): Promise<void> {
    this.#closed = true
    const known = [...this.#listed.values(), ...this.#others.values()]
    await Promise.all(known.map((registry) => registry.close()))
    await Promise.all([...this.#open].map((registry) => registry.close()))
  }

  #lazily(settings: RegistrySettings, listed: boolean): LazyRegistry {
    const { host, caFile: file } = settings
    const { log } = this.#components
    return new LazyRegistry({ log, open: () => this.#openNow(settings, listed) }, { host, file })
  }

  async #openNow(settings: RegistrySettings, listed: boolean): Promise<OpenedRegistry> {
    const { host } = settings
    this.#refuseWhenClosed(host)
    const { userAgent, limits } = this.#options
    const label = listed || host === this.#settings.defaultHost ? host : OTHER_REGISTRIES
    const { openRegistry } = await import('./registry/open-registry.ts')
    const resolve = (name: string) => lookup(name, { all: true })
    const components = { ...this.#components, resolve, now: () => performance.now() }
    const proxyFor = settings.proxy === undefined ? this.#proxyFor : chooseProxy({ own: settings.proxy, env: {} })
    const opened = await openRegistry(components, settings, {
      listed,
      label,
      proxyFor,
      userAgent,
      limits: { ...DEFAULT_LIMITS, ...limits }
    })
    this.#refuseWhenClosed(host)
    return this.#kept(opened)
  }

  #refuseWhenClosed(host: string): void {
    if (this.#closed) throw new UpstreamError('UNREACHABLE', host, `${host} is not asked any more: the node stops`)
  }

  #kept(opened: OpenedRegistry): OpenedRegistry {
    const kept: OpenedRegistry = {
      ...opened,
      retire: async () => {
        await opened.retire()
        this.#open.delete(kept)
      }
    }
    this.#open.add(kept)
    return kept
  }
}
