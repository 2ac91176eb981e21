import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { errorBody, isOciError, OciError, unlessAborted } from '@layermesh/oci'
import type { AccessLog, ClientProof } from '../access-types.ts'
import { formatBasic } from '../authorization.ts'
import { TooManyLoginsError } from '../errors.ts'
import { parseScopes, type Scope } from '../scope.ts'
import { TOKEN_SERVICE } from './token-authority.ts'
import type { TokenService } from './token-service.ts'

/*
 * Docker's token protocol (distribution, docs/spec/auth/token.md and oauth.md):
 *
 *   GET  ?service=S&scope=…&scope=…[&offline_token=true]         with a Basic or Bearer credential, or none
 *   POST grant_type=password|refresh_token&service=S&scope=… …    as a form
 *
 * and JSON `{token, access_token, scope, expires_in, issued_at, refresh_token?}` as the answer.
 */

export interface TokenEndpointComponents {
  readonly service: Pick<TokenService, 'issueAccess' | 'issueRefresh'>
  readonly proofOf: (request: IncomingMessage) => ClientProof
  readonly log: AccessLog
}

export interface TokenEndpointOptions {
  /** Most bytes of a form. @default 32 KiB */
  readonly maxBodyBytes?: number
  /** How long a client may take to send it, and how long it is made to wait for the answer. @default 15 000 */
  readonly timeoutMs?: number
}

/** What a client waits when it is not known how long it must: a seed has refused it. */
const RETRY_AFTER_MS = 5_000

const DEFAULTS: Required<TokenEndpointOptions> = Object.freeze({ maxBodyBytes: 32 * 1024, timeoutMs: 15_000 })

/** What a client asks for. */
interface TokenRequest {
  readonly proof: ClientProof
  readonly scopes: readonly Scope[]
  readonly wantsRefresh: boolean
  /** The refresh token that the client showed, which goes on. */
  readonly refreshToken?: string
}

/** The handler of {@link TOKEN_PATH}. */
export function createTokenEndpoint(
  components: TokenEndpointComponents,
  options: TokenEndpointOptions = {}
): RequestListener {
  const { maxBodyBytes, timeoutMs } = { ...DEFAULTS, ...options }
  return async (request, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(timeoutMs)])
    try {
      const asked = await readRequest(request, components.proofOf(request), maxBodyBytes, signal)
      // A password may wait its turn behind many others.
      const answered = await unlessAborted(answer(components.service, asked, signal), signal)
      send(request, response, 200, JSON.stringify(answered))
    } catch (error) {
      fail(components.log, request, response, error)
    }
  }
}

async function answer(service: TokenEndpointComponents['service'], asked: TokenRequest, signal: AbortSignal) {
  const access = await service.issueAccess(asked.proof, asked.scopes, signal)
  const refresh = asked.wantsRefresh ? (await service.issueRefresh(asked.proof, signal))?.text : asked.refreshToken
  return {
    token: access.text,
    access_token: access.text,
    expires_in: Math.max(1, access.expiresAt - access.issuedAt),
    issued_at: new Date(access.issuedAt * 1000).toISOString(),
    ...(refresh === undefined ? {} : { refresh_token: refresh })
  }
}

async function readRequest(
  request: IncomingMessage,
  proof: ClientProof,
  maxBodyBytes: number,
  signal: AbortSignal
): Promise<TokenRequest> {
  const [, search = ''] = (request.url ?? '').split('?', 2)
  switch (request.method) {
    case 'GET':
      return readQuery(new URLSearchParams(search), proof)
    case 'POST':
      return readForm(new URLSearchParams(await readBody(request, maxBodyBytes, signal)), proof)
    default:
      throw new OciError('UNSUPPORTED', 'a token is asked for with GET or POST')
  }
}

function readQuery(query: URLSearchParams, proof: ClientProof): TokenRequest {
  checkService(query)
  return {
    proof,
    scopes: parseScopes(query.getAll('scope')),
    wantsRefresh: query.get('offline_token') === 'true' && proof.authorization !== undefined
  }
}

/** Credentials of the form take the place of those of the header. */
function readForm(form: URLSearchParams, proof: ClientProof): TokenRequest {
  checkService(form)
  const scopes = parseScopes(form.getAll('scope'))
  switch (form.get('grant_type')) {
    case 'password': {
      const authorization = formatBasic(form.get('username') ?? '', form.get('password') ?? '')
      return { proof: { ...proof, authorization }, scopes, wantsRefresh: form.get('access_type') === 'offline' }
    }
    case 'refresh_token': {
      const refreshToken = form.get('refresh_token') ?? ''
      const authorization = `Bearer ${refreshToken}`
      return { proof: { ...proof, authorization }, scopes, wantsRefresh: false, refreshToken }
    }
    default:
      throw badRequest('grant_type must be password or refresh_token')
  }
}

function checkService(parameters: URLSearchParams): void {
  const service = parameters.get('service')
  if (service === null || service === TOKEN_SERVICE) return
  throw badRequest(`tokens are given for the service ${TOKEN_SERVICE} only`)
}

async function readBody(request: IncomingMessage, maxBytes: number, signal: AbortSignal): Promise<string> {
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(type)) {
    throw badRequest('send a form, as application/x-www-form-urlencoded')
  }
  const onAbort = () => request.destroy()
  signal.addEventListener('abort', onAbort, { once: true })
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request) {
      length += (chunk as Buffer).length
      if (length > maxBytes) throw new StatusError(413, `the form has more than ${maxBytes} bytes`)
      chunks.push(chunk as Buffer)
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function fail(log: AccessLog, request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
  if (response.destroyed || response.headersSent) {
    response.destroy()
    return
  }
  const error = asOciError(thrown)
  log.debug({ code: error.code, reason: error.message, err: error.cause }, 'gave no token')
  if (error.status >= 500) log.warn({ code: error.code, err: thrown }, 'the token endpoint failed')
  if (error.status === 401) response.setHeader('WWW-Authenticate', 'Basic realm="layermesh", charset="UTF-8"')
  if (error.status === 405) response.setHeader('Allow', 'GET, POST')
  if (error.status === 429) {
    const waitMs = thrown instanceof TooManyLoginsError ? thrown.retryAfterMs : RETRY_AFTER_MS
    response.setHeader('Retry-After', Math.max(1, Math.ceil(waitMs / 1000)))
  }
  send(request, response, error.status, errorBody(error))
}

function asOciError(thrown: unknown): OciError {
  if (isOciError(thrown)) return thrown
  const isLate = thrown instanceof Error && (thrown.name === 'TimeoutError' || thrown.name === 'AbortError')
  if (isLate) return new OciError('UNAVAILABLE', 'the token could not be made in time', { cause: thrown })
  return new OciError('UNKNOWN', 'the token endpoint failed; the log of the node says how', { cause: thrown })
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: string): void {
  // What of a body was not read would be taken for the next request.
  if (!request.complete) response.setHeader('Connection', 'close')
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff'
  })
  response.end(body)
}

/** An error with a status that no code of the registry has. */
class StatusError extends OciError {
  readonly #status: number

  constructor(status: number, message: string) {
    super('UNSUPPORTED', message)
    this.#status = status
  }

  override get status(): number {
    return this.#status
  }
}

function badRequest(message: string): OciError {
  return new StatusError(400, message)
}
