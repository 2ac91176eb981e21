import { z } from 'zod'
import { ChangingFile } from './changing-file.ts'
import type { CredentialComponents } from './components.ts'
import { errorCode, unavailable } from './credential-error.ts'
import { type FormRequest, requestJson } from './request-json.ts'
import type { AcrSettings } from './settings.ts'

const AUTHORITY = 'https://login.microsoftonline.com/'
const IDENTITY_ENDPOINT = 'http://169.254.169.254/metadata/identity/oauth2/token'
const RESOURCE = 'https://management.azure.com/'
const API_VERSION = '2018-02-01'
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

const tokenSchema = z.looseObject({ access_token: z.string().min(1) })
const failureSchema = z.looseObject({
  error: z.string().regex(/^[a-z_]{1,64}$/),
  error_description: z.string().optional().catch(undefined)
})

/**
 * Access tokens of Microsoft Entra ID, for the identity that the settings or the environment name. The requests are made
 * here rather than by `@azure/identity`, since it and what it needs are 45 packages and 49 MB, half of it for browsers
 * and people who log in, for three requests:
 *
 * - managed identity: https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
 * - client secret: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#first-case-access-token-request-with-a-shared-secret
 * - federated token: the third case there, with what https://azure.github.io/azure-workload-identity/docs/ puts into the environment
 */
export class AzureTokens {
  readonly #settings: AcrSettings
  readonly #env: CredentialComponents['env']
  readonly #proxyFor: CredentialComponents['proxyFor']
  readonly #secret: ChangingFile<string> | undefined
  readonly #assertion: ChangingFile<string> | undefined

  constructor(settings: AcrSettings, { env, proxyFor }: Pick<CredentialComponents, 'env' | 'proxyFor'>) {
    const { clientSecretFile, federatedTokenFile = env.AZURE_FEDERATED_TOKEN_FILE } = settings
    this.#settings = settings
    this.#env = env
    this.#proxyFor = proxyFor
    this.#secret = clientSecretFile === undefined ? undefined : lineIn(clientSecretFile, 'the client secret file', true)
    this.#assertion = federatedTokenFile === undefined ? undefined : lineIn(federatedTokenFile, 'the token file', false)
  }

  get tenantId(): string | undefined {
    return this.#settings.tenantId ?? this.#env.AZURE_TENANT_ID
  }

  /** @throws {UpstreamError} CREDENTIALS_UNAVAILABLE */
  async get(host: string, signal: AbortSignal): Promise<string> {
    if (this.#secret !== undefined) {
      return await this.#ofApplication(host, { client_secret: await this.#secret.read(host) }, signal)
    }
    if (this.#assertion !== undefined) {
      const assertion = { client_assertion_type: ASSERTION_TYPE, client_assertion: await this.#assertion.read(host) }
      return await this.#ofApplication(host, assertion, signal)
    }
    return await this.#ofMachine(host, signal)
  }

  async #ofApplication(host: string, proof: Readonly<Record<string, string>>, signal: AbortSignal): Promise<string> {
    const { authority = this.#env.AZURE_AUTHORITY_HOST ?? AUTHORITY, resource = RESOURCE } = this.#settings
    const clientId = this.#clientId
    const { tenantId } = this
    if (tenantId === undefined || clientId === undefined) {
      throw unavailable(host, 'acr.tenantId and acr.clientId are not set, nor AZURE_TENANT_ID and AZURE_CLIENT_ID')
    }
    const url = new URL(`${encodeURIComponent(tenantId)}/oauth2/v2.0/token`, authority.replace(/\/*$/, '/'))
    const scope = `${resource.replace(/\/*$/, '')}/.default`
    return await ask(host, 'Microsoft Entra ID', {
      url,
      form: { grant_type: 'client_credentials', client_id: clientId, scope, ...proof },
      proxyFor: this.#proxyFor,
      signal
    })
  }

  async #ofMachine(host: string, signal: AbortSignal): Promise<string> {
    const { identityEndpoint = IDENTITY_ENDPOINT, resource = RESOURCE } = this.#settings
    const url = new URL(identityEndpoint)
    url.searchParams.set('api-version', API_VERSION)
    url.searchParams.set('resource', resource)
    if (this.#clientId !== undefined) url.searchParams.set('client_id', this.#clientId)
    const request = { url, headers: { Metadata: 'true' }, proxyFor: this.#proxyFor, signal }
    return await ask(host, 'the managed identity endpoint', request)
  }

  get #clientId(): string | undefined {
    return this.#settings.clientId ?? this.#env.AZURE_CLIENT_ID
  }
}

async function ask(host: string, whom: string, request: FormRequest): Promise<string> {
  const { status, body } = await requestJson(request).catch((error: unknown) => {
    if (request.signal.aborted) throw error
    throw unavailable(host, `${whom} at ${request.url.host} can not be asked (${errorCode(error)})`)
  })
  const token = tokenSchema.safeParse(body).data?.access_token
  if (status === 200 && token !== undefined) return token
  throw unavailable(host, `${whom} at ${request.url.host} gave no token (${azureFailure(status, body)})`)
}

/** The codes of a failure; its description may quote what was sent. */
export function azureFailure(status: number, body: unknown): string {
  const failure = failureSchema.safeParse(body).data
  const [number] = /AADSTS\d{1,9}/.exec(failure?.error_description ?? '') ?? []
  return [`status ${status}`, failure?.error, number].filter((part) => part !== undefined).join(', ')
}

function lineIn(path: string, what: string, secret: boolean): ChangingFile<string> {
  return new ChangingFile({
    path,
    what,
    secret,
    parse: (text) => {
      const line = text.trim()
      if (line === '' || /\s/.test(line)) throw new TypeError('does not hold one line of text')
      return line
    }
  })
}
