import { join } from 'node:path'
import { z } from 'zod'
import type { Credential, CredentialSource, IssuedCredential } from '../interfaces.ts'
import { ChangingFile } from './changing-file.ts'
import type { CredentialComponents } from './components.ts'
import { CredentialCache, type Issued } from './credential-cache.ts'
import { errorCode, unavailable } from './credential-error.ts'
import { ImagePattern } from './image-pattern.ts'
import { goDuration, type KubeletPlugin, parseKubeletConfig } from './kubelet-config.ts'
import { parseJson } from './parse-json.ts'
import { runProgram } from './run-program.ts'
import type { KubeletSettings } from './settings.ts'

/** What a kubelet gives a plugin, too. */
const TIMEOUT_MS = 60_000

const responseSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.literal('CredentialProviderResponse'),
  cacheKeyType: z.enum(['Image', 'Registry', 'Global']),
  cacheDuration: goDuration.nullish(),
  auth: z
    .record(z.string(), z.looseObject({ username: z.string().default(''), password: z.string().default('') }))
    .nullish()
})

type PasswordCredential = Extract<Credential, { kind: 'password' }>

/** What a plugin gave: credentials by the images that they are for. */
type PluginAuths = ReadonlyMap<string, PasswordCredential>

interface Plugins {
  readonly list: readonly KubeletPlugin[]
  readonly caches: ReadonlyMap<string, CredentialCache<PluginAuths>>
}

/**
 * The credential provider plugins of a kubelet: programs that are told an image and answer with credentials
 * (https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/ and
 * https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/). All whose patterns fit the image are
 * asked; of what they give, the key that comes last in the alphabet of those that fit counts, and of the same key the
 * plugin that comes first in the file, which is the order of a kubelet's first try.
 */
export class KubeletPluginSource implements CredentialSource {
  readonly name = 'kubelet'
  readonly #settings: KubeletSettings
  readonly #components: CredentialComponents
  readonly #file: ChangingFile<Plugins>
  #caches: readonly CredentialCache<PluginAuths>[] = []

  constructor(settings: KubeletSettings, components: CredentialComponents) {
    this.#settings = settings
    this.#components = components
    this.#file = new ChangingFile({
      path: settings.config,
      what: 'the CredentialProviderConfig',
      secret: false,
      parse: async (text) => this.#plugins(await parseKubeletConfig(text))
    })
  }

  async get(host: string, repository: string, signal: AbortSignal): Promise<IssuedCredential | undefined> {
    const plugins = await this.#file.read(host)
    const image = `${host}/${repository}`
    const fitting = plugins.list.filter((plugin) => plugin.matchImages.some((pattern) => pattern.fits(image)))
    const asked = fitting.map((plugin) => this.#ask(plugin, plugins, host, image, signal))
    const answers = await Promise.allSettled(asked)
    signal.throwIfAborted()
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    const found = choose(given, image)
    // One that failed is worth an error only when no other knows the image.
    if (found === undefined) await Promise.all(asked)
    return found
  }

  refused(credential: Credential): void {
    if (credential.kind !== 'password') return
    const { username, password } = credential
    const holds = (auths: PluginAuths) =>
      [...auths.values()].some((each) => each.username === username && each.password === password)
    for (const cache of this.#caches) cache.refuse(holds)
  }

  #plugins(all: readonly KubeletPlugin[]): Plugins {
    const { log } = this.#components
    const list = all.filter(({ name, tokenAttributes }) => {
      const wantsToken = tokenAttributes?.requireServiceAccount === true
      if (wantsToken)
        log.warn({ plugin: name }, 'this plugin wants the token of a pod, which a node of the mesh has not')
      return !wantsToken
    })
    const caches = new Map(list.map((plugin) => [plugin.name, this.#cache(plugin)] as const))
    this.#caches = [...caches.values()]
    return { list, caches }
  }

  #cache({ name, defaultCacheDuration }: KubeletPlugin): CredentialCache<PluginAuths> {
    const components = { ...this.#components, name: `the kubelet plugin ${name}` }
    return new CredentialCache(components, { timeoutMs: TIMEOUT_MS, maxAgeMs: defaultCacheDuration })
  }

  #ask(
    plugin: KubeletPlugin,
    { caches }: Plugins,
    host: string,
    image: string,
    signal: AbortSignal
  ): Promise<Issued<PluginAuths>> {
    const issue = (deadline: AbortSignal) => this.#issue(plugin, host, image, deadline)
    const cache = caches.get(plugin.name) as CredentialCache<PluginAuths>
    return cache.get(host, [keys.Image(image), keys.Registry(image), keys.Global()], issue, signal)
  }

  async #issue(plugin: KubeletPlugin, host: string, image: string, signal: AbortSignal): Promise<Issued<PluginAuths>> {
    const output = await this.#run(plugin, host, image, signal)
    const { data } = responseSchema.safeParse(parseJson(output))
    if (data === undefined || data.apiVersion !== plugin.apiVersion) {
      throw unavailable(
        host,
        `the kubelet plugin ${plugin.name} gave no CredentialProviderResponse of ${plugin.apiVersion}`
      )
    }
    const entries = Object.entries(data.auth ?? {}).map(
      ([key, { username, password }]) => [key, { kind: 'password', username, password }] as const
    )
    const durationMs = data.cacheDuration ?? plugin.defaultCacheDuration
    return {
      value: new Map(entries),
      key: keys[data.cacheKeyType](image),
      ...(durationMs === 0 ? { noStore: true } : { expiresAt: this.#components.clock() + durationMs })
    }
  }

  async #run({ name, args, env, apiVersion }: KubeletPlugin, host: string, image: string, signal: AbortSignal) {
    try {
      const { exitCode, output } = await runProgram({
        file: join(this.#settings.binDir, name),
        args: args ?? [],
        env: { ...this.#components.env, ...Object.fromEntries((env ?? []).map((each) => [each.name, each.value])) },
        input: JSON.stringify({ apiVersion, kind: 'CredentialProviderRequest', image }),
        signal
      })
      if (exitCode === 0) return output
      throw unavailable(host, `the kubelet plugin ${name} failed for ${image} (exit code ${exitCode ?? 'unknown'})`)
    } catch (error) {
      if (signal.aborted || !(error instanceof Error) || error.name === 'UpstreamError') throw error
      const why = error instanceof RangeError ? error.message : `could not be run (${errorCode(error)})`
      throw unavailable(host, `the kubelet plugin ${name} ${why}`)
    }
  }
}

/** Under which an answer is kept, by its `cacheKeyType`. */
const keys = Object.freeze({
  Image: (image: string) => `image ${image}`,
  Registry: (image: string) => `registry ${image.slice(0, image.indexOf('/'))}`,
  Global: () => 'global'
})

function choose(given: readonly Issued<PluginAuths>[], image: string): IssuedCredential | undefined {
  const fitting = given.flatMap(({ value, expiresAt }) =>
    [...value].filter(([key]) => fits(key, image)).map(([key, credential]) => ({ key, credential, expiresAt }))
  )
  const [first] = fitting.toSorted((one, other) => (one.key < other.key ? 1 : one.key > other.key ? -1 : 0))
  if (first === undefined) return undefined
  return { credential: first.credential, ...(first.expiresAt === undefined ? {} : { expiresAt: first.expiresAt }) }
}

function fits(key: string, image: string): boolean {
  try {
    return new ImagePattern(key).fits(image)
  } catch {
    return false
  }
}
