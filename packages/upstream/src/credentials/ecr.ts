import type { Credential } from '../interfaces.ts'
import type { CredentialIssuer } from './cached-source.ts'
import type { CredentialComponents } from './components.ts'
import type { Issued } from './credential-cache.ts'
import { unavailable } from './credential-error.ts'
import { type EcrHost, parseEcrHost } from './ecr-host.ts'
import type { EcrSettings } from './settings.ts'

/** The part of an answer that counts; both APIs have it. */
interface AuthorizationData {
  readonly authorizationToken?: string | undefined
  readonly expiresAt?: Date | undefined
}

/** One more try than none: a cold start of the metadata service is slow. */
const MAX_ATTEMPTS = 2

/**
 * Amazon ECR: GetAuthorizationToken gives a password for 12 hours
 * (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html, and of ECR Public
 * https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html). Who asks is found as
 * AWS's clients find it: environment, configuration files, web identity, container and instance metadata.
 */
export class EcrIssuer implements CredentialIssuer {
  readonly name = 'ecr'
  readonly #settings: EcrSettings
  readonly #proxyFor: CredentialComponents['proxyFor']

  constructor(settings: EcrSettings, { proxyFor }: Pick<CredentialComponents, 'proxyFor'>) {
    this.#settings = settings
    this.#proxyFor = proxyFor
  }

  async issue(host: string, signal: AbortSignal): Promise<Issued<Credential>> {
    const data = await this.#ask(host, signal)
    const [username, password] = Buffer.from(data?.authorizationToken ?? '', 'base64')
      .toString('utf8')
      .split(':', 2)
    if (!username || !password) throw unavailable(host, 'ECR gave no authorization token')
    const expiresAt = data?.expiresAt?.getTime()
    return { value: { kind: 'password', username, password }, expiresAt }
  }

  async #ask(host: string, signal: AbortSignal): Promise<AuthorizationData | undefined> {
    const registry = this.#registry(host)
    try {
      return await (registry.isPublic ? this.#askPublic(registry, signal) : this.#askPrivate(registry, signal))
    } catch (error) {
      if (signal.aborted) throw error
      // Its messages name accounts and roles, its other fields hold requests.
      const name = error instanceof Error ? error.name : 'an unknown failure'
      const api = registry.isPublic ? 'ecr-public' : 'ecr'
      throw unavailable(
        host,
        `${api}:GetAuthorizationToken in ${registry.region} failed (${name}); see which identity AWS's clients have here, ` +
          'and whether it may do that'
      )
    }
  }

  #registry(host: string): EcrHost {
    const registry = parseEcrHost(host)
    const { region } = this.#settings
    if (registry !== undefined) return region === undefined ? registry : { ...registry, region }
    if (region !== undefined) return { isPublic: false, region, useFips: false }
    throw unavailable(host, `${host} does not name the region of an ECR registry; set ecr.region`)
  }

  async #askPrivate({ region, useFips }: EcrHost, signal: AbortSignal): Promise<AuthorizationData | undefined> {
    const { ECRClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr')
    const client = new ECRClient({ ...(await this.#clientSettings(region)), useFipsEndpoint: useFips })
    try {
      const answer = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal })
      return answer.authorizationData?.[0]
    } finally {
      client.destroy()
    }
  }

  async #askPublic({ region }: EcrHost, signal: AbortSignal): Promise<AuthorizationData | undefined> {
    const { ECRPUBLICClient, GetAuthorizationTokenCommand } = await import('@aws-sdk/client-ecr-public')
    const client = new ECRPUBLICClient(await this.#clientSettings(region))
    try {
      const answer = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal })
      return answer.authorizationData
    } finally {
      client.destroy()
    }
  }

  async #clientSettings(region: string) {
    const { endpoint, profile } = this.#settings
    const { ChosenProxyAgent } = await import('./proxy-agent.ts')
    const agent = new ChosenProxyAgent(this.#proxyFor)
    return {
      region,
      maxAttempts: MAX_ATTEMPTS,
      // Its clients of other services, such as STS, take this one over; those of metadata do not.
      requestHandler: { httpAgent: agent, httpsAgent: agent },
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(profile === undefined ? {} : { profile })
    }
  }
}
