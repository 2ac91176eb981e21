import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClientProof } from '../access-types.ts'
import { formatBasic } from '../authorization.ts'
import { TooManyLoginsError, unauthorized } from '../errors.ts'
import { formatScope, type Scope } from '../scope.ts'
import { FakeLog } from '../testing/fakes.ts'
import { createTokenEndpoint } from './token-endpoint.ts'

const TOKEN = { text: 'access-token', issuedAt: 1_700_000_000, expiresAt: 1_700_000_300 }

let server: Server
let port: number
/** What the service was asked for. */
let asked: { authorization: string | undefined; scopes: string[] } | undefined
let failure: Error | undefined

beforeEach(async () => {
  asked = undefined
  failure = undefined
  await listen({ timeoutMs: 60_000 })
})
afterEach(hangUp)

async function listen({ timeoutMs }: { timeoutMs: number }): Promise<void> {
  const service = {
    issueAccess: async ({ authorization }: ClientProof, scopes: readonly Scope[]) => {
      if (failure !== undefined) throw failure
      asked = { authorization, scopes: scopes.map(formatScope) }
      return TOKEN
    },
    issueRefresh: async () => ({ ...TOKEN, text: 'refresh-token' })
  }
  const endpoint = createTokenEndpoint(
    {
      service,
      proofOf: ({ headers }) => ({ authorization: headers.authorization, certificate: undefined, address: 'here' }),
      log: new FakeLog()
    },
    { maxBodyBytes: 1_000, timeoutMs }
  )
  server = createServer(endpoint).listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
}

function hangUp(): void {
  server.closeAllConnections()
  server.close()
}

async function send(
  method: string,
  { query = '', body, headers = {} }: { query?: string; body?: string; headers?: Record<string, string> } = {}
): Promise<{ status: number; headers: IncomingHttpHeaders; json: Record<string, unknown> }> {
  const request = httpRequest({ host: '127.0.0.1', port, path: `/auth/token${query}`, method, headers, agent: false })
  request.on('error', () => {})
  request.end(body)
  const [response] = await once(request, 'response')
  return { status: response.statusCode, headers: response.headers, json: JSON.parse(await text(response)) }
}

const form = (fields: Record<string, string>) => ({
  body: new URLSearchParams(fields).toString(),
  headers: { 'content-type': 'application/x-www-form-urlencoded' }
})

describe('GET', () => {
  it('gives a token under both of its names, for the scopes that were asked for', async () => {
    const query =
      '?service=layermesh&scope=repository%3Aa%3Apull&scope=repository:b:push%20repository:c:pull&account=al'
    const answer = await send('GET', { query, headers: { authorization: formatBasic('al', 'x') } })
    expect(answer.status).toBe(200)
    expect(answer.json).toEqual({
      token: 'access-token',
      access_token: 'access-token',
      expires_in: 300,
      issued_at: '2023-11-14T22:13:20.000Z'
    })
    expect(asked?.scopes).toEqual(['repository:a:pull', 'repository:b:push', 'repository:c:pull'])
    expect(asked?.authorization).toBe(formatBasic('al', 'x'))
  })

  it('gives a refresh token to whoever proves who it is and asks for one', async () => {
    const headers = { authorization: formatBasic('al', 'x') }
    expect((await send('GET', { query: '?offline_token=true', headers })).json.refresh_token).toBe('refresh-token')
    expect((await send('GET', { query: '?offline_token=false', headers })).json).not.toHaveProperty('refresh_token')
    expect((await send('GET', { query: '?offline_token=true' })).json).not.toHaveProperty('refresh_token')
  })

  it('serves the anonymous', async () => {
    expect((await send('GET')).status).toBe(200)
    expect(asked).toEqual({ authorization: undefined, scopes: [] })
  })
})

describe('POST', () => {
  it('takes user and password from the form', async () => {
    const fields = { grant_type: 'password', username: 'al', password: 'p:w', service: 'layermesh' }
    const answer = await send('POST', form({ ...fields, scope: 'repository:a:pull', access_type: 'offline' }))
    expect(answer.json).toMatchObject({ token: 'access-token', refresh_token: 'refresh-token' })
    expect(asked).toEqual({ authorization: formatBasic('al', 'p:w'), scopes: ['repository:a:pull'] })
    expect((await send('POST', form(fields))).json).not.toHaveProperty('refresh_token')
  })

  it('takes a refresh token, and gives the same one back', async () => {
    const answer = await send('POST', form({ grant_type: 'refresh_token', refresh_token: 'a.b.c' }))
    expect(answer.json).toMatchObject({ token: 'access-token', refresh_token: 'a.b.c' })
    expect(asked?.authorization).toBe('Bearer a.b.c')
  })

  it.each([
    ['no grant', form({ username: 'a' })],
    ['another grant', form({ grant_type: 'authorization_code' })],
    ['another service', form({ grant_type: 'password', service: 'other' })],
    ['no form', { body: '{}', headers: { 'content-type': 'application/json' } }],
    ['no type', { body: 'grant_type=password' }]
  ])('with %s is a bad request', async (_, request) => {
    expect((await send('POST', request)).status).toBe(400)
    expect(asked).toBeUndefined()
  })

  it('reads no more of a form than it may', async () => {
    const answer = await send('POST', form({ grant_type: 'password', password: 'x'.repeat(2_000) }))
    expect([answer.status, answer.headers.connection]).toEqual([413, 'close'])
  })

  it('waits no longer for a form than it may', async () => {
    hangUp()
    await listen({ timeoutMs: 100 })
    const socket = connect(port, '127.0.0.1')
    socket.write(
      'POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\ngrant'
    )
    await once(socket, 'close')
    expect(asked).toBeUndefined()
  })
})

describe('an answer', () => {
  it('is never kept by a cache', async () => {
    expect((await send('GET')).headers['cache-control']).toBe('no-store')
    failure = unauthorized('wrong user name or password')
    expect((await send('GET')).headers['cache-control']).toBe('no-store')
  })

  it('to a wrong credential is 401 with a challenge', async () => {
    failure = unauthorized('wrong user name or password')
    const { status, headers, json } = await send('GET')
    expect(status).toBe(401)
    expect(headers['www-authenticate']).toBe('Basic realm="layermesh", charset="UTF-8"')
    expect(json).toEqual({ errors: [{ code: 'UNAUTHORIZED', message: 'wrong user name or password' }] })
  })

  it('to too many wrong ones is 429, with the time to wait', async () => {
    failure = new TooManyLoginsError(4_200)
    const { status, headers } = await send('GET')
    expect([status, headers['retry-after']]).toEqual([429, '5'])
  })

  it('to another method is 405', async () => {
    const { status, headers } = await send('PUT')
    expect([status, headers.allow]).toEqual([405, 'GET, POST'])
  })

  it('to another service is 400', async () => {
    expect((await send('GET', { query: '?service=registry.docker.io' })).status).toBe(400)
  })

  it('to what went wrong here tells nothing of it', async () => {
    failure = new Error('the disk at /secret is broken')
    const { status, json } = await send('GET')
    expect(status).toBe(500)
    expect(JSON.stringify(json)).not.toContain('/secret')
  })
})
