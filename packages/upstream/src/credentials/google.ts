import type { AuthClient, JWT } from 'google-auth-library'
import { z } from 'zod'
import type { Credential, CredentialSource, IssuedCredential } from '../interfaces.ts'
import type { CredentialIssuer } from './cached-source.ts'
import { ChangingFile } from './changing-file.ts'
import type { CredentialComponents } from './components.ts'
import type { Issued } from './credential-cache.ts'
import { unavailable } from './credential-error.ts'
import { parseJson } from './parse-json.ts'
import type { GoogleSettings } from './settings.ts'

/** What Google's own tools ask for to pull. */
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform']
/** The user name that goes with an OAuth 2.0 access token. */
const TOKEN_USER = 'oauth2accesstoken'
/** The user name that goes with the key of a service account. */
const KEY_USER = '_json_key'

const keySchema = z.looseObject({
  type: z.literal('service_account'),
  client_email: z.string().min(1),
  private_key: z.string().min(1),
  private_key_id: z.string().optional()
})

/** The key of a service account, as Google Cloud gives it. */
interface ServiceAccountKey extends z.output<typeof keySchema> {
  /** The whole file. */
  readonly text: string
}

/**
 * Artifact Registry and Container Registry: an access token of about an hour
 * (https://cloud.google.com/artifact-registry/docs/docker/authentication#token), made with the key of a service account,
 * or had by application default credentials: their file, which may be of another kind, else the metadata server, which
 * `GCE_METADATA_HOST` may move (https://cloud.google.com/docs/authentication/application-default-credentials).
 */
export class GoogleIssuer implements CredentialIssuer {
  readonly name = 'google'
  readonly #key: ChangingFile<ServiceAccountKey> | undefined
  readonly #tokenEndpoint: string | undefined

  readonly #proxyFor: CredentialComponents['proxyFor']

  constructor({ keyFile, tokenEndpoint }: GoogleSettings, { proxyFor }: Pick<CredentialComponents, 'proxyFor'>) {
    this.#key = keyFile === undefined ? undefined : keyIn(keyFile)
    this.#tokenEndpoint = tokenEndpoint
    this.#proxyFor = proxyFor
  }

  async issue(host: string, signal: AbortSignal): Promise<Issued<Credential>> {
    const key = await this.#key?.read(host)
    try {
      // A new client each time: an old one gives the token that it had, also when that was refused.
      const client = key === undefined ? await defaultClient() : await clientOf(key)
      await this.#prepare(client, key === undefined ? undefined : this.#tokenEndpoint, signal)
      const { token } = await client.getAccessToken()
      if (!token) throw new TypeError('no token')
      const expiresAt = client.credentials.expiry_date ?? undefined
      return { value: { kind: 'password', username: TOKEN_USER, password: token }, expiresAt }
    } catch (error) {
      const by =
        key === undefined ? 'what the environment or the metadata server has' : 'the key of the service account'
      throw unavailable(host, `Google gave no access token by ${by} (${reasonOf(error)})`)
    }
  }

  /** The library knows proxies of the environment alone, and fewer ways to name what is not asked by them. */
  async #prepare({ transporter }: AuthClient, endpoint: string | undefined, signal: AbortSignal): Promise<void> {
    const { ChosenProxyAgent } = await import('./proxy-agent.ts')
    const agent = new ChosenProxyAgent(this.#proxyFor)
    const url = endpoint === undefined ? {} : { url: new URL(endpoint) }
    transporter.interceptors.request.add({ resolved: async (request) => ({ ...request, ...url, signal, agent }) })
  }
}

async function clientOf(key: ServiceAccountKey): Promise<JWT> {
  const { JWT } = await import('google-auth-library')
  const { client_email: email, private_key: privateKey, private_key_id: keyId } = key
  return new JWT({ email, key: privateKey, scopes: SCOPES, ...(keyId === undefined ? {} : { keyId }) })
}

async function defaultClient() {
  const { GoogleAuth } = await import('google-auth-library')
  return await new GoogleAuth({ scopes: SCOPES }).getClient()
}

/** The key of a service account, shown as it is (https://cloud.google.com/artifact-registry/docs/docker/authentication#json-key). */
export class GoogleKeySource implements CredentialSource {
  readonly name = 'google-key'
  readonly #key: ChangingFile<ServiceAccountKey>

  constructor(keyFile: string) {
    this.#key = keyIn(keyFile)
  }

  async get(host: string): Promise<IssuedCredential> {
    const { text } = await this.#key.read(host)
    return { credential: { kind: 'password', username: KEY_USER, password: text } }
  }

  /** There is no other; a new one is read once it is in the file. */
  refused(_credential: Credential): void {}
}

function keyIn(path: string): ChangingFile<ServiceAccountKey> {
  return new ChangingFile({
    path,
    what: 'the key of the service account',
    secret: true,
    parse: (text) => {
      const { data } = keySchema.safeParse(parseJson(text))
      if (data === undefined) throw new TypeError('is no key of a service account in JSON')
      return { ...data, text: text.trim() }
    }
  })
}

/** The status or OAuth error that came; messages of the library may quote the file. */
function reasonOf(error: unknown): string {
  const { status, code, response } = (error ?? {}) as {
    status?: unknown
    code?: unknown
    response?: { data?: unknown }
  }
  const oauth = (response?.data as { error?: unknown } | undefined)?.error
  if (typeof oauth === 'string' && /^[a-z_]{1,64}$/.test(oauth)) return oauth
  if (typeof status === 'number') return `status ${status}`
  if (typeof code === 'string' && /^[A-Z_]{1,64}$/.test(code)) return code
  return 'no usable credentials there'
}
