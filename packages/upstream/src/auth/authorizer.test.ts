import { expect, it } from 'vitest'
import { UpstreamError } from '../errors.ts'
import { AnswerHeaders, type HttpAnswer, type HttpRequest } from '../http/answer.ts'
import type { CredentialSource, UpstreamIdentity } from '../interfaces.ts'
import { FakeCredentials, password } from '../testing/fake-credentials.ts'
import { Authorizer, type Refusal } from './authorizer.ts'
import { Fingerprint } from './fingerprint.ts'
import { TokenCache } from './token-cache.ts'
import { CredentialRefused, type TokenRequest } from './token-service.ts'

const { signal } = new AbortController()
const BEARER = 'Bearer realm="https://auth.r.example/token",service="s"'
const BASIC = 'Basic realm="r"'

const refusedBy = (...challenges: string[]): Refusal => ({
  status: 401,
  headers: new AnswerHeaders({ 'www-authenticate': challenges })
})
const FORBIDDEN: Refusal = { status: 403, headers: new AnswerHeaders({}) }

interface Setup {
  readonly credentials?: CredentialSource
  /** What the token service says to a credential. @default a token named after it and counted */
  readonly refuses?: (request: TokenRequest) => boolean
  /** Whether the token service can't be reached. @default never */
  readonly isDown?: (request: TokenRequest) => boolean
  /** What `GET /v2/` is answered with. */
  readonly ping?: Refusal
}

function start({ credentials, refuses = () => false, isDown = () => false, ping = FORBIDDEN }: Setup = {}) {
  const asked: TokenRequest[] = []
  const logged: string[] = []
  const pinged: HttpRequest[] = []
  const fetch = async (request: TokenRequest) => {
    asked.push(request)
    if (refuses(request)) throw new CredentialRefused('refused')
    if (isDown(request)) throw new UpstreamError('UNREACHABLE', 'r.example', 'the token service is away')
    const { credential } = request
    const who = credential === undefined ? 'nobody' : credential.kind === 'password' ? credential.username : 'token'
    return { token: `${who}-${asked.length}`, validForMs: 60_000 }
  }
  const options = { maxTokens: 10, fetchTimeoutMs: 1_000, marginMs: 1_000, refusedMs: 30_000 }
  const tokens = new TokenCache({ fetch, fingerprint: new Fingerprint(), now: () => 0 }, options)
  const send = async (request: HttpRequest): Promise<HttpAnswer> => {
    pinged.push(request)
    return { ...ping, url: request.url, body: { dump: async () => null } as never }
  }
  const log = { warn: (_: object, message: string) => logged.push(message) }
  const authorizer = new Authorizer(
    { tokens, credentials, log, send },
    { registry: 'r.example', origin: new URL('https://r.example'), realmHosts: [] }
  )
  /** All that is shown, while each is refused by the next of these, until none is left. */
  const shown = async (as: UpstreamIdentity, ...refusals: Refusal[]): Promise<(string | undefined)[]> => {
    const attempts = authorizer.attempts({ name: 'a', as }, signal)
    const all: (string | undefined)[] = []
    let attempt = await attempts.next(undefined as never)
    while (!attempt.done) {
      all.push(attempt.value)
      const refusal = refusals.shift()
      if (refusal === undefined) break
      attempt = await attempts.next(refusal)
    }
    return all
  }
  return { asked, logged, pinged, shown }
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

it('shows nothing until it is asked to, and then what it got, at once from then on', async () => {
  const { shown, asked } = start()
  expect(await shown('node', refusedBy(BEARER))).toEqual([undefined, 'Bearer nobody-1'])
  expect(await shown('node')).toEqual(['Bearer nobody-1'])
  expect(asked).toMatchObject([{ service: 's', scopes: ['repository:a:pull'], credential: undefined }])
})

it('asks for the scope that the registry names, from then on for this repository', async () => {
  const { shown, asked } = start()
  await shown('node', refusedBy(`${BEARER},scope="repository:mirror/a:pull,push repository:b:pull"`))
  await shown('node', refusedBy(`${BEARER},scope=""`))
  expect(asked.map(({ scopes }) => scopes)).toEqual([
    ['repository:mirror/a:pull,push', 'repository:b:pull'],
    ['repository:mirror/a:pull,push', 'repository:b:pull']
  ])
})

it('prefers Bearer where a registry offers several ways', async () => {
  const { shown } = start({ credentials: new FakeCredentials(password('u', 'p')) })
  expect(await shown('node', refusedBy('Negotiate', BASIC, BEARER))).toEqual([undefined, 'Bearer u-1'])
})

it('shows a password by Basic where that is the way', async () => {
  const { shown } = start({ credentials: new FakeCredentials(password('u', 'p:q')) })
  expect(await shown('node', refusedBy(BASIC))).toEqual([undefined, basic('u:p:q')])
  expect(await shown('node')).toEqual([basic('u:p:q')])
})

it('gets another token once for one that is refused, then asks anonymously, and ends', async () => {
  const { shown } = start({ credentials: new FakeCredentials(password('u', 'p')) })
  await shown('node', refusedBy(BEARER))
  const all = Array.from({ length: 20 }, () => refusedBy(BEARER))
  expect(await shown('node', ...all)).toEqual(['Bearer u-1', 'Bearer u-2', 'Bearer nobody-3', 'Bearer nobody-4'])
})

it('tries another credential of the source when the first is refused', async () => {
  const credentials = new FakeCredentials(password('old', 'p'), password('new', 'p'))
  const { shown } = start({ credentials, refuses: ({ credential }) => JSON.stringify(credential).includes('old') })
  expect(await shown('node', refusedBy(BEARER))).toEqual([undefined, 'Bearer new-2'])
  expect(credentials.refusals).toEqual([password('old', 'p')])
})

it('asks anonymously what the registry denies to a credential that may have lapsed', async () => {
  const credentials = new FakeCredentials(password('u', 'p'))
  const { shown } = start({ credentials })
  expect(await shown('node', refusedBy(BEARER), FORBIDDEN)).toEqual([undefined, 'Bearer u-1', 'Bearer nobody-2'])
  expect(credentials.refusals).toEqual([])
})

it('has a password replaced that a registry with Basic denies, as ECR does once it has expired', async () => {
  const credentials = new FakeCredentials(password('AWS', 'old'), password('AWS', 'new'))
  const { shown } = start({ credentials })
  expect(await shown('node', refusedBy(BASIC), FORBIDDEN)).toEqual([undefined, basic('AWS:old'), basic('AWS:new')])
})

it('asks the registry how to show who asks when it did not say so, and remembers it', async () => {
  const { shown, pinged } = start({ ping: refusedBy(BEARER) })
  expect(await shown('node', refusedBy())).toEqual([undefined, 'Bearer nobody-1'])
  expect(pinged.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET https://r.example/v2/'])
  expect(await shown('node', refusedBy())).toEqual(['Bearer nobody-1', 'Bearer nobody-2'])
  expect(pinged).toHaveLength(1)
})

it('asks the registry again where its token service is, when that is not to be had any more', async () => {
  let isAway = false
  const { shown } = start({ isDown: ({ realm }) => isAway && realm.hostname === 'auth.r.example' })
  const alice = { authorization: basic('alice:p') }
  await shown('node', refusedBy(BEARER))
  isAway = true
  await expect(shown(alice, refusedBy(BEARER))).rejects.toMatchObject({ code: 'UNREACHABLE' })
  await expect(shown(alice, FORBIDDEN)).rejects.toMatchObject({ code: 'UNREACHABLE' })
  const moved = refusedBy('Bearer realm="https://new.r.example/token",service="s"')
  expect(await shown(alice, moved)).toEqual([undefined, 'Bearer alice-5'])
  expect(await shown(alice)).toEqual(['Bearer alice-5'])
})

it('gives up where it is never said', async () => {
  const { shown } = start()
  expect(await shown('node', refusedBy(), refusedBy())).toEqual([undefined])
  expect(await shown('node', refusedBy('Negotiate'), refusedBy())).toEqual([undefined])
})

it('shows nothing to a token service of another owner', async () => {
  const { shown, asked, logged } = start({ credentials: new FakeCredentials(password('u', 'p')) })
  const evil = refusedBy('Bearer realm="https://auth.evil.example.org/token",service="s"')
  for (const _ of [1, 2]) await expect(shown('node', evil)).rejects.toMatchObject({ code: 'UNSAFE' })
  expect(logged).toEqual([expect.stringContaining("{ 'r.example': { realmHosts: ['auth.evil.example.org'] } }")])
  expect(asked).toEqual([])
})

it('asks on behalf of a client with what it showed, and never with what the node has', async () => {
  const { shown, asked } = start({ credentials: new FakeCredentials(password('node', 'p')) })
  await shown('node', refusedBy(BEARER))
  const client = { authorization: basic('alice:p') }
  expect(await shown(client, refusedBy(BEARER), FORBIDDEN)).toEqual(['Bearer alice-2', 'Bearer alice-3'])
  expect(await shown('anonymous')).toEqual(['Bearer nobody-4'])
  expect(await shown({ authorization: basic('bob:p') })).toEqual(['Bearer bob-5'])
  expect(await shown({ authorization: basic('alice:other') })).toEqual(['Bearer alice-6'])
  expect(await shown(client)).toEqual(['Bearer alice-3'])
  expect(await shown('anonymous')).toEqual(['Bearer nobody-4'])
  expect(await shown('node')).toEqual(['Bearer node-1'])
  expect(asked).toHaveLength(6)
})

it('hands on the token that a client showed as it is, and shows nothing else when it is refused', async () => {
  const { shown, asked } = start()
  const client = { authorization: 'Bearer abc.def' }
  expect(await shown(client, refusedBy(BEARER), refusedBy(BEARER))).toEqual(['Bearer abc.def'])
  expect(asked).toEqual([])
})

it.each(['Basic !!!', 'Digest abc', 'Basic', '', `Basic ${'a'.repeat(40_000)}`, 'Basic YWJj'])(
  'asks anonymously for a client that shows %s',
  async (authorization) => {
    const { shown } = start()
    expect(await shown({ authorization: authorization.slice(0, 60_000) })).toEqual([undefined])
  }
)

it('asks anonymously while the source has no credential, says so once, and says why when that does not do', async () => {
  let isBroken = true
  const unavailable = new UpstreamError('CREDENTIALS_UNAVAILABLE', 'r.example', 'the helper failed')
  const credentials: CredentialSource = {
    name: 'broken',
    get: async () => {
      if (isBroken) throw unavailable
      return { credential: password('u', 'p') }
    },
    refused: () => {}
  }
  const { shown, logged } = start({ credentials })
  expect(await shown('node', refusedBy(BEARER))).toEqual([undefined, 'Bearer nobody-1'])
  await expect(shown('node', refusedBy(BEARER), FORBIDDEN)).rejects.toBe(unavailable)
  expect(logged).toEqual(['no credentials; asking anonymously'])
  isBroken = false
  expect(await shown('node')).toEqual(['Bearer u-3'])
})
