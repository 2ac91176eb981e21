import { z } from 'zod'
import type { Credential } from '../interfaces.ts'
import { isHelperName } from './docker-helper.ts'
import { parseJson } from './parse-json.ts'

const authSchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional()
})

const helperName = z.string().refine((name) => name === '' || isHelperName(name))

/** What counts here of Docker's config.json (https://docs.docker.com/reference/cli/docker/#configuration-files). */
const configSchema = z.looseObject({
  auths: z.record(z.string(), authSchema).default({}),
  credHelpers: z.record(z.string(), helperName).default({}),
  credsStore: helperName.optional()
})

type Auth = z.output<typeof authSchema>

/** What a config.json holds. */
export class DockerAuths {
  readonly #config: z.output<typeof configSchema>

  /** @throws {TypeError} which shows none of the text */
  constructor(text: string) {
    const { data } = configSchema.safeParse(parseJson(text))
    if (data === undefined) throw new TypeError('is no config.json of Docker')
    this.#config = data
  }

  /** The helper that is to be asked for a registry: of its own, else the one for all. */
  helperFor(host: string): { readonly name: string; readonly isForAll: boolean } | undefined {
    const { credHelpers, credsStore } = this.#config
    const own = Object.entries(credHelpers).find(([key]) => hostOf(key) === host)?.[1]
    if (own !== undefined && own !== '') return { name: own, isForAll: false }
    return credsStore === undefined || credsStore === '' ? undefined : { name: credsStore, isForAll: true }
  }

  /**
   * What is written in the file for a repository. As containers/image has it (containers-auth.json(5)), a key may be a
   * namespace or repository of a registry, where the longest that fits counts.
   */
  find(host: string, repository: string): Credential | undefined {
    const { auths } = this.#config
    for (let path = `${host}/${repository}`; path.includes('/'); path = path.slice(0, path.lastIndexOf('/'))) {
      const credential = credentialOf(auths[path])
      if (credential !== undefined) return credential
    }
    const fitting = Object.entries(auths).filter(([key]) => isRegistryKey(key) && hostOf(key) === host)
    const exact = fitting.find(([key]) => key === host) ?? fitting[0]
    return credentialOf(exact?.[1])
  }
}

/** Keys without a scheme and with a path are of a namespace, but for what `docker login` once wrote: `host/v1/`. */
function isRegistryKey(key: string): boolean {
  return /^https?:\/\//.test(key) || /^[^/]+(?:\/(?:v[12]\/?)?)?$/.test(key)
}

/** The registry of a key, which may be written as a URL; Docker Hub has several names. */
function hostOf(key: string): string {
  const host = key
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/s, '')
    .toLowerCase()
  return ['index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'].includes(host) ? 'docker.io' : host
}

function credentialOf(auth: Auth | undefined): Credential | undefined {
  if (auth === undefined) return undefined
  if (auth.registrytoken) return { kind: 'registryToken', token: auth.registrytoken }
  if (auth.identitytoken) return { kind: 'identityToken', token: auth.identitytoken }
  if (auth.auth) return decoded(auth.auth)
  const { username, password } = auth
  return username && password ? { kind: 'password', username, password } : undefined
}

/** Base64 of `user:password`; old versions of Docker filled it up with NULs. */
function decoded(auth: string): Credential | undefined {
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = text.indexOf(':')
  return colon < 1 ? undefined : { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) }
}
