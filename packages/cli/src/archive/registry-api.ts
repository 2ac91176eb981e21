import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import * as http from 'node:http'
import * as https from 'node:https'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import {
  type Digest,
  digestAlgorithm,
  digestOf,
  isDigest,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  type Repository,
  type Tag
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'

export interface RegistryAccount {
  readonly username: string
  readonly password: string
}

export interface RegistryApiOptions {
  /** Sent with each request. */
  readonly account?: RegistryAccount
  /** Certificates to trust in place of the system's, PEM. */
  readonly caFile?: string
}

/** A manifest as a registry gave it. */
export interface FetchedManifest {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
}

interface AskOptions {
  readonly headers?: http.OutgoingHttpHeaders
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  readonly timeoutMs?: number
}

/** Silence after which a request is given up. A node passes a manifest on to its seed, which fetches all that it names. */
const SILENCE_MS = 5 * 60_000
const MANIFEST_MS = 35 * 60_000
const MAX_ERROR_BYTES = 16 * 1024
const MANIFEST_TYPES = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerManifestList,
  MEDIA_TYPE.dockerManifest
]

/**
 * As much of the registry API as brings images in and out (OCI distribution-spec 1.1). Failures are {@link CliFailure}s
 * that say what to do.
 */
export class RegistryApi {
  readonly #base: URL
  readonly #agent: http.Agent | https.Agent
  readonly #headers: http.OutgoingHttpHeaders

  private constructor(base: URL, agent: http.Agent | https.Agent, headers: http.OutgoingHttpHeaders) {
    this.#base = base
    this.#agent = agent
    this.#headers = headers
  }

  /** @param url `http://HOST:PORT` or `https://HOST:PORT` @throws {CliFailure} also for a password that others could read */
  static async connect(url: string, { account, caFile }: RegistryApiOptions): Promise<RegistryApi> {
    const base = URL.canParse(url) ? new URL(url) : undefined
    if (base?.protocol !== 'http:' && base?.protocol !== 'https:') {
      throw new CliFailure('USAGE', `${url} is no address of a registry, such as http://127.0.0.1:5000`)
    }
    if (account !== undefined && base.protocol === 'http:' && !isLoopback(base.hostname)) {
      throw new CliFailure('USAGE', `${base.origin} would be sent the password in plain text; name it by https:`)
    }
    const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
    const keepAlive = { keepAlive: true, maxSockets: 4 }
    const agent =
      base.protocol === 'http:' ? new http.Agent(keepAlive) : new https.Agent({ ...keepAlive, ...(ca && { ca }) })
    const basic = account && Buffer.from(`${account.username}:${account.password}`).toString('base64')
    return new RegistryApi(base, agent, basic === undefined ? {} : { authorization: `Basic ${basic}` })
  }

  close(): void {
    this.#agent.destroy()
  }

  async hasBlob(repository: Repository, digest: Digest): Promise<boolean> {
    const response = await this.#ask('HEAD', `${repository}/blobs/${digest}`)
    response.resume()
    if (response.statusCode === 200) return true
    if (response.statusCode === 404) return false
    throw await this.#failure(response, `${digest} of ${repository}`)
  }

  /** Takes a blob over from another repository. False when that can't be. */
  async mountBlob(repository: Repository, digest: Digest, from: Repository): Promise<boolean> {
    const query = new URLSearchParams({ mount: digest, from })
    const response = await this.#ask('POST', `${repository}/blobs/uploads/?${query}`)
    response.resume()
    if (response.statusCode === 202) await this.#cancel(response)
    return response.statusCode === 201
  }

  async pushBlob(
    repository: Repository,
    digest: Digest,
    size: number,
    bytes: AsyncIterable<Uint8Array>
  ): Promise<void> {
    const begun = await this.#ask('POST', `${repository}/blobs/uploads/`)
    if (begun.statusCode !== 202) throw await this.#failure(begun, `a blob for ${repository}`)
    begun.resume()
    const location = this.#locationOf(begun)
    location.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream', 'content-length': size }
    const response = await this.#ask('PUT', location, { headers, body: bytes })
    response.resume()
    if (response.statusCode !== 201) throw await this.#failure(response, `${digest} for ${repository}`)
  }

  /**
   * @param tag what is to mean it; undefined leaves all tags as they are
   * @returns what the registry lacks of what the manifest names; none when it took it
   */
  async pushManifest(
    repository: Repository,
    { digest, mediaType, bytes }: FetchedManifest,
    tag?: Tag
  ): Promise<readonly Digest[]> {
    const query = tag === undefined ? '' : `?${new URLSearchParams({ tag })}`
    const headers = { 'content-type': mediaType, 'content-length': bytes.byteLength }
    const options = { headers, body: bytes, timeoutMs: MANIFEST_MS }
    const response = await this.#ask('PUT', `${repository}/manifests/${digest}${query}`, options)
    const told = await readAtMost(response, MAX_MANIFEST_BYTES)
    if (response.statusCode === 201) return []
    const missing = response.statusCode === 400 ? missingIn(told.toString()) : []
    if (missing.length > 0) return missing
    throw this.#refusal(response, told.toString(), `${repository}${tag ? `:${tag}` : `@${digest}`}`)
  }

  /** @throws {CliFailure} when it is not there, or is not what its digest says */
  async manifest(repository: Repository, reference: Tag | Digest): Promise<FetchedManifest> {
    const headers = { accept: MANIFEST_TYPES.join(', ') }
    const response = await this.#ask('GET', `${repository}/manifests/${reference}`, { headers })
    const name = isDigest(reference) ? `${repository}@${reference}` : `${repository}:${reference}`
    if (response.statusCode !== 200) throw await this.#failure(response, name)
    const bytes = await readAtMost(response, MAX_MANIFEST_BYTES)
    const told = isDigest(reference) ? reference : String(response.headers['docker-content-digest'])
    const digest = digestOf(bytes, isDigest(told) ? digestAlgorithm(told) : 'sha256')
    if (digest !== told)
      throw new CliFailure('FAILED', `${this.#base.origin} gave something else as ${name} than it said`)
    return { digest, mediaType: String(response.headers['content-type']), bytes }
  }

  async blob(repository: Repository, digest: Digest): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#ask('GET', `${repository}/blobs/${digest}`)
    if (response.statusCode !== 200) throw await this.#failure(response, `${digest} of ${repository}`)
    return response
  }

  /** Digests of what is about a manifest (distribution-spec §Listing Referrers). */
  async referrers(repository: Repository, digest: Digest): Promise<Digest[]> {
    const response = await this.#ask('GET', `${repository}/referrers/${digest}`)
    if (response.statusCode !== 200) throw await this.#failure(response, `what refers to ${repository}@${digest}`)
    const { manifests = [] } = JSON.parse((await readAtMost(response, MAX_MANIFEST_BYTES)).toString()) as {
      manifests?: readonly { digest?: unknown }[]
    }
    return manifests.map((descriptor) => descriptor.digest).filter(isDigest)
  }

  async #cancel(begun: http.IncomingMessage): Promise<void> {
    const response = await this.#ask('DELETE', this.#locationOf(begun))
    response.resume()
  }

  /** Sessions are of this registry, wherever it says that they are: nothing is sent to another host. */
  #locationOf(response: http.IncomingMessage): URL {
    const { location } = response.headers
    if (location === undefined)
      throw new CliFailure('FAILED', `${this.#base.origin} does not answer as a registry does`)
    const { pathname, search } = new URL(location, this.#base)
    return new URL(`${pathname}${search}`, this.#base)
  }

  async #ask(method: string, target: string | URL, { headers, body, timeoutMs = SILENCE_MS }: AskOptions = {}) {
    const url = typeof target === 'string' ? new URL(`/v2/${target}`, this.#base) : target
    const { request } = url.protocol === 'http:' ? http : https
    const asked = request(url, { method, agent: this.#agent, headers: { ...this.#headers, ...headers } })
    asked.setTimeout(timeoutMs, () => asked.destroy(new Error('no answer in time')))
    const answered = once(asked, 'response') as Promise<[http.IncomingMessage]>
    try {
      // A registry may refuse before it has all of the body: then its answer says why, and not the broken pipe.
      const sent =
        body === undefined ? asked.end() : pipeline(Readable.from(body instanceof Uint8Array ? [body] : body), asked)
      const sending = Promise.resolve(sent).then(() => answered)
      sending.catch(() => {})
      const [response] = await Promise.race([answered, sending])
      return response
    } catch (cause) {
      if (cause instanceof CliFailure) throw cause
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new CliFailure('FAILED', `the registry at ${this.#base.origin} can not be used: ${reason}`, { cause })
    }
  }

  async #failure(response: http.IncomingMessage, what: string): Promise<CliFailure> {
    return this.#refusal(response, (await text(response).catch(() => '')).slice(0, MAX_ERROR_BYTES), what)
  }

  #refusal(response: http.IncomingMessage, told: string, what: string): CliFailure {
    const { statusCode } = response
    if (statusCode === 401) {
      const why =
        this.#headers.authorization === undefined
          ? 'wants to know who asks: give --username and --password-stdin'
          : 'does not take this user name and password'
      return new CliFailure('FAILED', `${this.#base.origin} ${why}`)
    }
    const message = messageOf(told) ?? (statusCode === 403 ? 'this user may not do that' : `HTTP status ${statusCode}`)
    return new CliFailure('FAILED', `${what} was refused by ${this.#base.origin}: ${message}`)
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

async function readAtMost(response: http.IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.byteLength
    if (length > maxBytes) throw new CliFailure('FAILED', 'the registry sent more than a manifest may be')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** What a manifest names that is not there, as this registry tells it. */
function missingIn(body: string): Digest[] {
  const detail = firstError(body)?.detail
  const missing = typeof detail === 'object' && detail !== null && 'missing' in detail ? detail.missing : undefined
  return Array.isArray(missing) ? missing.filter(isDigest) : []
}

/** The message of an error as registries tell it (distribution-spec §Error Codes). */
function messageOf(body: string): string | undefined {
  const error = firstError(body)
  return error?.message ?? error?.code
}

function firstError(
  body: string
): { readonly code?: string; readonly message?: string; readonly detail?: unknown } | undefined {
  try {
    const { errors } = JSON.parse(body) as { errors?: readonly object[] }
    return errors?.[0]
  } catch {
    return undefined
  }
}
