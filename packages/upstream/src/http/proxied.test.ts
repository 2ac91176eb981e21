import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { chooseProxy } from '../proxy/choose-proxy.ts'
import { selfSigned } from '../testing/certificate.ts'
import { shown } from '../testing/credential-fixture.ts'
import { FakeProxy } from '../testing/fake-proxy.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { FakeTokenService } from '../testing/fake-token-service.ts'
import { type OpenFakeOptions, openFake } from '../testing/open-fake.ts'

/* Names are known to the proxy alone: looking one up here finds nothing. */

const NAME = 'registry.example.org'
const SECRET = 'hunter2-s3cr3t'
const { signal } = new AbortController()

/** A registry by TLS that only a proxy can reach, as {@link NAME}, and what its client has to know. */
async function startBehindProxy(options: OpenFakeOptions & { user?: string } = {}) {
  const tls = await selfSigned(NAME)
  const [proxy, server] = [await FakeProxy.start(), await FakeRegistry.start({ tls })]
  proxy.places.set(`${NAME}:443`, server.url)
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-proxied-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, tls.cert)
  const user = options.user === undefined ? '' : `${options.user}@`
  const proxyFor = chooseProxy({ env: {}, common: proxy.url.replace('//', `//${user}`) })
  const registry = await openFake(`https://${NAME}`, { addresses: {}, proxyFor, settings: { caFile }, ...options })
  return { proxy, server, registry }
}

/** What becomes of a question to a registry at `url` by a proxy that can reach everything and is told to. */
async function codeOf(url: string, options: OpenFakeOptions, proxy: FakeProxy): Promise<string> {
  const proxyFor = chooseProxy({ env: {}, common: proxy.url })
  const registry = await openFake(url, { addresses: {}, proxyFor, ...options })
  return await registry.headManifest('a', 'latest', { signal }).then(
    (found) => (found === undefined ? 'missing' : 'found'),
    ({ code }: { code: string }) => code
  )
}

it('reaches a registry by a tunnel, and keeps that for other questions', async () => {
  const { proxy, server, registry } = await startBehindProxy()
  const blob = server.addBlob(Buffer.alloc(100_000, 'x'))
  for (let at = 0; at < 10; at++) expect(await registry.headBlob('a', blob, { signal })).toBe(100_000)
  const { body } = (await registry.openBlob('a', blob, 0, { signal })) ?? {}
  let length = 0
  for await (const chunk of body ?? []) length += chunk.length
  expect(length).toBe(100_000)
  expect(new Set(proxy.asked)).toEqual(new Set([`CONNECT ${NAME}:443`]))
  expect(proxy.asked.length).toBeLessThan(11)
  expect(new Set(server.seen.map(({ headers }) => headers.host))).toEqual(new Set([NAME]))
})

it('shows its user and password to the proxy alone, and what is for the registry not to the proxy', async () => {
  const { proxy, server, registry } = await startBehindProxy({ user: `me:${SECRET}` })
  const authorization = `Bearer ${SECRET}-of-a-client`
  server.intercept = ({ headers }, response) => {
    if (headers.authorization !== undefined) return undefined
    response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end()
    return true
  }
  expect(await registry.headManifest('a', 'b', { signal, as: { authorization } })).toBeUndefined()
  expect(proxy.shown).toEqual([`Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`])
  expect(server.seen.at(-1)?.headers.authorization).toBe(authorization)
  expect(server.seen.map(({ headers }) => headers['proxy-authorization'])).toEqual(server.seen.map(() => undefined))
})

it('does not trust a proxy to vouch for a registry', async () => {
  const { proxy, server } = await startBehindProxy()
  proxy.places.set('other.example.org:443', server.url)
  expect(await codeOf('https://other.example.org', { listed: false }, proxy)).toBe('UNREACHABLE')
  expect(proxy.asked.at(-1)).toBe('CONNECT other.example.org:443')
  expect(server.seen).toEqual([])
})

it('has plain HTTP forwarded, with what is meant for the proxy shown to that', async () => {
  const [proxy, server] = [await FakeProxy.start(), await FakeRegistry.start()]
  proxy.places.set('registry.example:5000', server.url)
  const proxyFor = chooseProxy({ env: { HTTP_PROXY: proxy.url.replace('//', `//me:${SECRET}@`) } })
  const registry = await openFake('http://registry.example:5000', { addresses: {}, proxyFor })
  expect(await registry.headManifest('a', 'b', { signal })).toBeUndefined()
  expect(proxy.asked).toEqual(['HEAD http://registry.example:5000/v2/a/manifests/b'])
  expect(proxy.shown[0]).toMatch(/^Basic /)
  expect(server.seen[0]?.headers).toMatchObject({ host: 'registry.example:5000' })
  expect(server.seen[0]?.headers['proxy-authorization']).toBeUndefined()
})

it.each([407, 403, 502, 503])('says that a proxy answered %d, leaves it alone, and shows no secret', async (status) => {
  const { proxy, registry } = await startBehindProxy({ user: `me:${SECRET}` })
  proxy.refusal = status
  for (const expected of [`no connection (PROXY_ANSWERED_${status})`, 'left alone']) {
    const error = await registry.headManifest('a', 'b', { signal }).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'UNREACHABLE', message: expect.stringContaining(expected) })
    expect(shown(error)).not.toContain(SECRET)
  }
  expect(proxy.asked).toHaveLength(1)
})

it('takes 407 of a proxy that forwards for its own word, not for that of the registry', async () => {
  const proxy = await FakeProxy.start()
  proxy.refusal = 407
  expect(await codeOf('http://registry.example', {}, proxy)).toBe('UNREACHABLE')
})

it('waits for no proxy that says nothing, and is not there', async () => {
  const proxy = await FakeProxy.start()
  proxy.silent = true
  const options = { limits: { connectTimeoutMs: 200 } }
  expect(await codeOf(`https://${NAME}`, options, proxy)).toBe('UNREACHABLE')
  expect(proxy.asked).toHaveLength(1)
  const proxyFor = chooseProxy({ env: {}, common: 'http://127.0.0.1:1' })
  const registry = await openFake(`https://${NAME}`, { addresses: {}, proxyFor })
  await expect(registry.headManifest('a', 'b', { signal })).rejects.toMatchObject({
    code: 'UNREACHABLE',
    message: expect.stringContaining('ECONNREFUSED')
  })
})

it('ends tunnels, those too that a proxy has not opened yet, when it closes', async () => {
  const { proxy, registry } = await startBehindProxy()
  await registry.headManifest('a', 'b', { signal })
  proxy.silent = true
  const asked = proxy.asked.length
  const waiting = Promise.allSettled([1, 2].map(() => registry.getManifest('a', 'b', { signal })))
  await expect.poll(() => proxy.asked.length).toBeGreaterThan(asked)
  await registry.close()
  for (const { status } of await waiting) expect(status).toBe('rejected')
  await expect.poll(() => proxy.connections).toBe(0)
})

it.each([
  'https://registry.corp',
  'https://registry',
  'https://registry.example.internal',
  'https://kubernetes.default.svc',
  'https://metadata.google.internal',
  'https://10.0.0.1',
  'https://[fd12::1]',
  'https://100.100.100.200'
])('asks no proxy for %s when that is not listed', async (url) => {
  const proxy = await FakeProxy.start()
  expect(await codeOf(url, { listed: false }, proxy)).toBe('UNSAFE')
  expect(proxy.asked).toEqual([])
})

it.each([
  'http://10.0.0.1/b',
  'http://2130706433/b',
  'http://127.0.0.1:1/b',
  'http://localhost:1/b',
  'http://store.corp/b',
  'http://store.corp./b',
  'http://169.254.169.254/latest/meta-data/',
  'http://[fd00:ec2::254]/latest/meta-data/',
  'http://metadata.google.internal/computeMetadata/v1/'
])('follows no registry with a public name to %s', async (location) => {
  const [proxy, server] = [await FakeProxy.start(), await FakeRegistry.start()]
  server.intercept = (_, response) => {
    response.writeHead(307, { location }).end()
    return true
  }
  proxy.places.set(NAME, server.url)
  expect(await codeOf(`http://${NAME}`, {}, proxy)).toBe('UNSAFE')
  expect(proxy.asked).toEqual([`HEAD http://${NAME}/v2/a/manifests/latest`])
})

it('follows a registry with a name of a network of its own to another such name, and to no metadata', async () => {
  const [proxy, server, store] = [await FakeProxy.start(), await FakeRegistry.start(), await FakeRegistry.start()]
  let location = 'http://store.corp/b'
  server.intercept = (_, response) => {
    response.writeHead(307, { location }).end()
    return true
  }
  proxy.places.set('registry.corp', server.url).set('store.corp', store.url)
  expect(await codeOf('http://registry.corp', {}, proxy)).toBe('missing')
  expect(store.seen).toHaveLength(1)
  for (location of ['http://metadata.google.internal/', 'http://localhost:1/', 'http://169.254.169.254/']) {
    expect(await codeOf('http://registry.corp', {}, proxy)).toBe('UNSAFE')
  }
})

it('judges by its addresses what is asked directly', async () => {
  const [proxy, server] = [await FakeProxy.start(), await FakeRegistry.start()]
  const proxyFor = chooseProxy({ common: proxy.url, env: { NO_PROXY: 'example.org' } })
  const url = server.url.replace('127.0.0.1', NAME)
  const addresses = { [NAME]: ['127.0.0.1'] }
  expect(await codeOf(url, { proxyFor, addresses }, proxy)).toBe('missing')
  expect(await codeOf(url, { proxyFor, addresses, listed: false }, proxy)).toBe('UNSAFE')
  expect(proxy.asked).toEqual([])
})

it('does not let what a proxy reaches lead to this network where a proxy is not asked', async () => {
  const [proxy, server, store] = [await FakeProxy.start(), await FakeRegistry.start(), await FakeRegistry.start()]
  const location = store.url.replace('127.0.0.1', 'store.example.org')
  server.intercept = (_, response) => {
    response.writeHead(307, { location }).end()
    return true
  }
  proxy.places.set(NAME, server.url)
  const proxyFor = chooseProxy({ common: proxy.url, env: { NO_PROXY: 'store.example.org' } })
  const options = { proxyFor, addresses: { 'store.example.org': ['127.0.0.1'] } }
  expect(await codeOf(`http://${NAME}`, options, proxy)).toBe('UNSAFE')
  expect(store.seen).toEqual([])
})

it('asks a token service by the proxy too', async () => {
  const [proxy, server, tokens] = [await FakeProxy.start(), await FakeRegistry.start(), await FakeTokenService.start()]
  proxy.places.set(NAME, server.url)
  proxy.places.set('auth.example.org', new URL(tokens.realm).origin)
  const realm = new URL(tokens.realm).pathname
  server.intercept = ({ headers }, response) => {
    if (headers.authorization !== undefined) return undefined
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://auth.example.org${realm}",service="s"` }).end()
    return true
  }
  expect(await codeOf(`http://${NAME}`, {}, proxy)).toBe('missing')
  expect(tokens.seen).toHaveLength(1)
  expect(proxy.asked[1]).toMatch(/^GET http:\/\/auth\.example\.org\//)
})
