import { expect, it } from 'vitest'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { FakeTokenService } from '../testing/fake-token-service.ts'
import { openFake } from '../testing/open-fake.ts'
import { parseAuthorization } from './credential-header.ts'

const { signal } = new AbortController()

async function start(tokenTimeoutMs = 60_000) {
  const [server, tokens] = [await FakeRegistry.start(), await FakeTokenService.start()]
  server.intercept = tokens.guard('repository:a:pull')
  server.addManifest({ schemaVersion: 2 }, 'latest')
  const registry = await openFake(server.url, { limits: { tokenTimeoutMs, answerTimeoutMs: 100_000 } })
  const ask = (authorization?: string) =>
    registry.headManifest('a', 'latest', { signal, as: authorization === undefined ? 'anonymous' : { authorization } })
  const codeOf = async (authorization?: string) => {
    const error: unknown = await ask(authorization).catch((reason: unknown) => reason)
    return error instanceof Error && 'code' in error ? error.code : error
  }
  return { server, tokens, ask, codeOf }
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

it('shows a password by Basic to GET, and names the account', async () => {
  const { tokens, ask } = await start()
  tokens.users.set('alice', 's3cret')
  await ask(basic('alice:s3cret'))
  const [seen] = tokens.seen
  expect(seen).toMatchObject({ method: 'GET', authorization: basic('alice:s3cret') })
  expect(Object.fromEntries(seen?.parameters ?? [])).toEqual({
    service: 'registry',
    scope: 'repository:a:pull',
    account: 'alice'
  })
})

it.each([400, 404, 405])('posts a password where GET is answered %d', async (status) => {
  const { tokens, ask } = await start()
  tokens.intercept = ({ method }, response) => {
    if (method === 'POST') return undefined
    response.writeHead(status).end()
    return true
  }
  expect(await ask(basic('alice:s3cret'))).toBeDefined()
  const posted = tokens.seen.find(({ method }) => method === 'POST')
  expect(posted?.authorization).toBeUndefined()
  expect(Object.fromEntries(posted?.parameters ?? [])).toEqual({
    grant_type: 'password',
    username: 'alice',
    password: 's3cret',
    client_id: 'layermesh',
    service: 'registry',
    scope: 'repository:a:pull'
  })
})

it('takes access_token for token too', async () => {
  const { tokens, server, ask } = await start()
  tokens.given.push('abc')
  tokens.intercept = (_, response) => {
    response.end(JSON.stringify({ access_token: 'abc' }))
    return true
  }
  expect(await ask()).toBeDefined()
  expect(server.seen.at(-1)?.headers.authorization).toBe('Bearer abc')
})

it.each([
  ['no JSON', 'token'],
  ['no object', '"token"'],
  ['no token', '{"token":""}'],
  ['a token that is a number', '{"token":1}'],
  ['a token that ends a line', '{"token":"a\\r\\nx: y"}'],
  ['a token of 30 kB', JSON.stringify({ token: 'a'.repeat(30_000) })],
  ['200 kB', JSON.stringify({ token: 'a', padding: 'a'.repeat(200_000) })]
])('takes no answer with %s', async (_, body) => {
  const { tokens, server, codeOf } = await start()
  tokens.intercept = (_request, response) => {
    response.end(body)
    return true
  }
  expect(await codeOf()).toBe('MALFORMED')
  expect(server.seen).toHaveLength(1)
})

it('waits for no answer that never ends', async () => {
  const { tokens, codeOf } = await start(500)
  tokens.intercept = (_, response) => {
    response.write('{"token":"')
    const timer = setInterval(() => response.write('a'), 20)
    response.on('close', () => clearInterval(timer))
    return true
  }
  expect(await codeOf()).toBe('UNAVAILABLE')
})

it('follows no redirect of a token service', async () => {
  const { tokens, codeOf } = await start()
  const other = await FakeTokenService.start()
  tokens.intercept = (_, response) => {
    response.writeHead(307, { location: other.realm }).end()
    return true
  }
  expect(await codeOf(basic('alice:s3cret'))).toBe('UNAVAILABLE')
  expect(other.seen).toEqual([])
})

it.each([
  [401, 'UNAUTHORIZED'],
  [403, 'UNAUTHORIZED'],
  [429, 'RATE_LIMITED'],
  [500, 'UNAVAILABLE'],
  [503, 'UNAVAILABLE']
])('says what %d of a token service means', async (status, code) => {
  const { tokens, codeOf } = await start()
  tokens.intercept = (_, response) => {
    response.writeHead(status).end()
    return true
  }
  expect(await codeOf()).toBe(code)
})

it('reads what clients show', () => {
  expect(parseAuthorization(basic('u:p:q'))).toEqual({ kind: 'password', username: 'u', password: 'p:q' })
  expect(parseAuthorization(`basic  ${basic('ü:é').slice(6)} `)).toEqual({
    kind: 'password',
    username: 'ü',
    password: 'é'
  })
  expect(parseAuthorization('bearer a.b-c')).toEqual({ kind: 'registryToken', token: 'a.b-c' })
  for (const header of ['', 'Basic', 'Basic YWJj', 'Digest a', 'Bearer a b', 'Bearer a\r\nb', 'Basic a:b']) {
    expect(parseAuthorization(header)).toBeUndefined()
  }
})
