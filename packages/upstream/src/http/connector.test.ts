import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { selfSigned } from '../testing/certificate.ts'
import { FakeRegistry } from '../testing/fake-registry.ts'
import { FakeTokenService } from '../testing/fake-token-service.ts'
import { startServer } from '../testing/local-server.ts'
import { type OpenFakeOptions, openFake } from '../testing/open-fake.ts'

/*
 * The first address that a name has is connected to, which is loopback here; others that it has besides only say where
 * the name belongs. So nothing leaves this machine.
 */
const LOCAL = ['127.0.0.1']
const PRIVATE = ['127.0.0.1', '10.0.0.1']
const PUBLIC = ['127.0.0.1', '8.8.8.8']

const { signal } = new AbortController()

async function codeOf(url: string, options: OpenFakeOptions): Promise<string> {
  const registry = await openFake(url, options)
  return await registry.headManifest('a', 'latest', { signal }).then(
    (found) => (found === undefined ? 'missing' : 'found'),
    ({ code }: { code: string }) => code
  )
}

/** The URL of a server under another name. */
const named = (name: string, { url }: { url: string }) => url.replace('127.0.0.1', name)

/** What a registry at an address of these is told when it leads to `location`. */
async function ledTo(addresses: readonly string[], location: string, others: Record<string, readonly string[]> = {}) {
  const server = await FakeRegistry.start()
  server.intercept = (_, response) => {
    response.writeHead(307, { location }).end()
    return true
  }
  return await codeOf(named('registry.example', server), { addresses: { 'registry.example': addresses, ...others } })
}

it.each([['127.0.0.1'], ['localhost'], ['registry.example']])(
  'connects to no registry at %s that is not listed',
  async (name) => {
    const server = await FakeRegistry.start()
    const addresses = { localhost: LOCAL, 'registry.example': LOCAL }
    expect(await codeOf(named(name, server), { listed: false, addresses })).toBe('UNSAFE')
    expect(await codeOf(named(name, server), { listed: true, addresses })).toBe('missing')
    expect(server.seen).toHaveLength(1)
  }
)

it('connects to the addresses of a name that are public, and to none of the others', async () => {
  const server = await FakeRegistry.start()
  // Discard prefix of RFC 6666, and a link-local address: neither is routed.
  const addresses = { 'registry.example': ['127.0.0.1', '10.0.0.1', '100::1', '169.254.169.254', '::ffff:127.0.0.1'] }
  expect(await codeOf(named('registry.example', server), { listed: false, addresses })).toBe('UNSAFE')
  expect(server.seen).toEqual([])
})

it('resolves a name once for each connection, and connects to what it checked', async () => {
  const server = await FakeRegistry.start()
  const asked: string[] = []
  const resolve = async (host: string) => {
    asked.push(host)
    if (asked.length > 1) throw new Error('asked twice')
    return [{ address: '127.0.0.1', family: 4 }]
  }
  expect(await codeOf(named('registry.example', server), { components: { resolve } })).toBe('missing')
  expect(asked).toEqual(['registry.example'])
})

it('follows a registry on this machine to another place on it', async () => {
  const store = await FakeRegistry.start()
  expect(await ledTo(LOCAL, `${store.url}/b`)).toBe('missing')
  expect(store.seen).toHaveLength(1)
})

it.each([
  ['private', PRIVATE],
  ['public', PUBLIC]
])('does not follow a registry at a %s address to this machine', async (_, addresses) => {
  const store = await FakeRegistry.start()
  expect(await ledTo(addresses, `${store.url}/b`)).toBe('UNSAFE')
  expect(await ledTo(addresses, `${named('store.example', store)}/b`, { 'store.example': LOCAL })).toBe('UNSAFE')
  expect(await ledTo(addresses, `${store.url.replace('127.0.0.1', '2130706433')}/b`)).toBe('UNSAFE')
  expect(await ledTo(addresses, `${store.url.replace('127.0.0.1', '[::ffff:127.0.0.1]')}/b`)).toBe('UNSAFE')
  expect(store.seen).toEqual([])
})

it('does not follow a registry at a public address to a private one', async () => {
  expect(await ledTo(PUBLIC, 'http://10.0.0.1/b')).toBe('UNSAFE')
  expect(await ledTo(PUBLIC, 'http://store.example/b', { 'store.example': ['192.168.0.1'] })).toBe('UNSAFE')
})

it.each([
  'http://169.254.169.254/latest/meta-data/',
  'http://[fd00:ec2::254]/latest/meta-data/',
  'http://100.100.100.200/',
  'http://0.0.0.0/',
  'http://metadata.google.internal/computeMetadata/v1/'
])('follows no registry, wherever it is, to %s', async (location) => {
  const addresses = { 'metadata.google.internal': ['169.254.169.254'] }
  for (const place of [LOCAL, PRIVATE, PUBLIC]) expect(await ledTo(place, location, addresses)).toBe('UNSAFE')
})

it('shows nothing to a token service of a public registry that is on this machine', async () => {
  const [server, tokens] = [await FakeRegistry.start(), await FakeTokenService.start()]
  const realm = named('auth.example.org', { url: tokens.realm })
  server.intercept = (_, response) => {
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="s"` }).end()
    return true
  }
  const url = named('registry.example.org', server)
  const auth = { 'auth.example.org': LOCAL }
  expect(await codeOf(url, { addresses: { 'registry.example.org': PUBLIC, ...auth } })).toBe('UNSAFE')
  expect(tokens.seen).toEqual([])
  await codeOf(url, { addresses: { 'registry.example.org': LOCAL, ...auth } })
  expect(tokens.seen.length).toBeGreaterThan(0)
})

it('says the same of every address that it refuses, whether something is there or not', async () => {
  const server = await FakeRegistry.start()
  const messages = new Set<string>()
  for (const url of [server.url, 'http://10.0.0.1:1', 'http://169.254.169.254', 'http://[::1]:1']) {
    const registry = await openFake(url, { listed: false })
    await registry.headManifest('a', 'b', { signal }).catch(({ message }: Error) => messages.add(message))
  }
  expect(messages.size).toBe(1)
})

it('trusts a registry by its own authorities in place of the usual ones', async () => {
  const tls = await selfSigned()
  const server = await FakeRegistry.start({ tls })
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-connector-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, tls.cert)
  expect(await codeOf(server.url, {})).toBe('UNREACHABLE')
  expect(await codeOf(server.url, { settings: { caFile } })).toBe('missing')
  await writeFile(caFile, (await selfSigned()).cert)
  expect(await codeOf(server.url, { settings: { caFile } })).toBe('UNREACHABLE')
})

it('reads no head without end', async () => {
  const server = await startServer((_, response) => {
    for (let field = 0; field < 60; field++) response.setHeader(`x-${field}`, 'a'.repeat(1_000))
    response.writeHead(404).end()
  })
  expect(await codeOf(server.url, {})).toBe('MALFORMED')
})

it('waits for no head that does not come', async () => {
  const server = await startServer(() => {})
  expect(await codeOf(server.url, { limits: { headersTimeoutMs: 200 } })).toBe('UNAVAILABLE')
  expect(await codeOf(server.url, { limits: { answerTimeoutMs: 200 } })).toBe('UNAVAILABLE')
})
