import { z } from 'zod'
import type { Credential } from '../interfaces.ts'
import { AzureTokens, azureFailure } from './azure-token.ts'
import type { CredentialIssuer } from './cached-source.ts'
import type { CredentialComponents } from './components.ts'
import type { Issued } from './credential-cache.ts'
import { errorCode, unavailable } from './credential-error.ts'
import { parseJson } from './parse-json.ts'
import { requestJson } from './request-json.ts'
import type { AcrSettings } from './settings.ts'

const answerSchema = z.looseObject({ refresh_token: z.string().min(1) })
const claimsSchema = z.looseObject({ exp: z.number().positive() })

/**
 * Azure Container Registry: `POST /oauth2/exchange` changes an access token of Microsoft Entra ID into a refresh token of
 * the registry, of about three hours, which its token service takes
 * (https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md).
 */
export class AcrIssuer implements CredentialIssuer {
  readonly name = 'acr'
  readonly #settings: AcrSettings
  readonly #tokens: AzureTokens
  readonly #ca: string | undefined
  readonly #proxyFor: CredentialComponents['proxyFor']

  constructor(settings: AcrSettings, components: Pick<CredentialComponents, 'env' | 'ca' | 'proxyFor'>) {
    this.#settings = settings
    this.#tokens = new AzureTokens(settings, components)
    this.#ca = components.ca
    this.#proxyFor = components.proxyFor
  }

  async issue(host: string, signal: AbortSignal): Promise<Issued<Credential>> {
    const accessToken = await this.#tokens.get(host, signal)
    const url = new URL('/oauth2/exchange', this.#settings.endpoint ?? `https://${host}`)
    const { tenantId } = this.#tokens
    const form = {
      grant_type: 'access_token',
      service: host,
      access_token: accessToken,
      ...(tenantId === undefined ? {} : { tenant: tenantId })
    }
    const request = { url, form, ca: this.#ca, proxyFor: this.#proxyFor, signal }
    const { status, body } = await requestJson(request).catch((error: unknown) => {
      if (signal.aborted) throw error
      throw unavailable(host, `${url.host} can not be asked for a refresh token (${errorCode(error)})`)
    })
    const token = answerSchema.safeParse(body).data?.refresh_token
    if (status !== 200 || token === undefined) {
      throw unavailable(host, `${url.host} gave no refresh token (${azureFailure(status, body)})`)
    }
    return { value: { kind: 'identityToken', token }, expiresAt: expiryOf(token) }
  }
}

/** A refresh token of ACR is a JSON Web Token, which is only looked into: its registry checks it. In ms since 1970. */
function expiryOf(token: string): number | undefined {
  const claims = parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'))
  const exp = claimsSchema.safeParse(claims).data?.exp
  return exp === undefined ? undefined : exp * 1_000
}
