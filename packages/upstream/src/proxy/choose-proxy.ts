import { isIP } from 'node:net'
import { reachOf } from '../http/reach.ts'
import { NoProxy } from './no-proxy.ts'
import { type HttpProxy, type ProxyChoice, type ProxyTarget, parseProxy } from './proxy.ts'

/** A proxy's URL, or none: all is asked directly. */
export type ProxySetting = 'none' | (string & {})

export interface ProxySources {
  /** Of the registry alone; it counts before all others, and `NO_PROXY` does not count for it. */
  readonly own?: ProxySetting | undefined
  /** Of all registries, in place of the environment's. */
  readonly common?: ProxySetting | undefined
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * By which proxy what belongs to a registry is asked. Without settings, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` of the
 * environment say so, or the same in small letters. Loopback, and link-local addresses where clouds have their metadata,
 * mean something else at a proxy than here: they are never asked by one.
 * @throws {TypeError} for what names no proxy; its message does not show it
 */
export function chooseProxy({ own, common, env }: ProxySources): ProxyChoice {
  const choice = own === undefined ? commonChoice(common, env) : always(own, "the registry's proxy")
  return (target) => (isOfThisMachine(target.hostname) ? undefined : choice(target))
}

function commonChoice(common: ProxySetting | undefined, env: ProxySources['env']): ProxyChoice {
  const noProxy = new NoProxy(variable(env, 'NO_PROXY') ?? '')
  const choice = common === undefined ? ofEnvironment(env) : always(common, 'upstreams.proxy')
  return (target) => (noProxy.covers(target) ? undefined : choice(target))
}

function ofEnvironment(env: ProxySources['env']): ProxyChoice {
  const [forHttps, forHttp] = ['HTTPS_PROXY', 'HTTP_PROXY'].map((name) => {
    const text = variable(env, name)
    return text === undefined ? undefined : read(text, `${name} of the environment`)
  })
  return ({ protocol }) => (protocol === 'https:' ? forHttps : forHttp)
}

function always(setting: ProxySetting, whose: string): ProxyChoice {
  const proxy = setting === 'none' ? undefined : read(setting, whose)
  return () => proxy
}

function read(text: string, whose: string): HttpProxy {
  const proxy = parseProxy(text)
  if (proxy !== undefined) return proxy
  throw new TypeError(
    `${whose} names no HTTP proxy: expected http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, or https://; ` +
      'upstreams.proxy: none asks registries without any'
  )
}

/** An empty variable counts as unset. */
function variable(env: ProxySources['env'], name: string): string | undefined {
  return env[name] || env[name.toLowerCase()] || undefined
}

function isOfThisMachine(hostname: ProxyTarget['hostname']): boolean {
  const host = hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
  if (isIP(host) === 0) return host === 'localhost' || host.endsWith('.localhost')
  return ['loopback', 'special'].includes(reachOf(host))
}
