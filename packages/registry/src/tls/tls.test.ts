import { once } from 'node:events'
import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { type AddressInfo, connect as connectPlainly } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { ClientProof } from '../interfaces.ts'
import type { RegistryServerOptions } from '../options.ts'
import { createRegistry } from '../registry.ts'
import { createRegistryServer } from '../server.ts'
import { type Issued, TestCa } from '../testing/certificates.ts'
import { TestClient, type TlsOptions } from '../testing/client.ts'
import { FakeAccess } from '../testing/fake-access.ts'
import { MemoryBackend } from '../testing/memory-backend.ts'
import { readTlsMaterial, type TlsFiles, type TlsMaterial } from './material.ts'
import { TlsReloader } from './tls-reloader.ts'
import type { RegistryTlsServer } from './tls-server.ts'

let ca: TestCa
let clientCa: TestCa
let one: Issued
let two: Issued
let alice: Issued

beforeAll(async () => {
  ca = await TestCa.create('servers')
  clientCa = await TestCa.create('clients')
  one = await ca.issue('one')
  two = await ca.issue('two')
  alice = await clientCa.issue('alice')
})

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

/** Files of a test's own. */
async function filesOf(
  { certificate, key }: Issued,
  ...clientCas: string[]
): Promise<TlsFiles & { readonly clientCa: string; readonly directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-tls-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const files = {
    directory,
    certificate: join(directory, 'tls.crt'),
    key: join(directory, 'tls.key'),
    clientCa: join(directory, 'ca.crt')
  }
  await writeFile(files.certificate, certificate)
  await writeFile(files.key, key)
  await writeFile(files.clientCa, clientCas.join('\n'))
  return files
}

/** A registry over TLS that remembers what clients proved. */
async function start(
  settings: { material: TlsMaterial; requireClientCertificate?: boolean },
  options: RegistryServerOptions = {}
) {
  const access = new FakeAccess({})
  const app = createRegistry({ backend: new MemoryBackend(), log: SILENT, access })
  const server = createRegistryServer(app, options, settings).listen(0, '127.0.0.1')
  /** Why handshakes failed. */
  const failures: unknown[] = []
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => failures.push(error.code))
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  const client = (tls: TlsOptions = {}) => new TestClient(port, { ca: ca.certificate, ...tls })
  const proofs = access.proofs as readonly ClientProof[]
  return { server: server as RegistryTlsServer, port, client, proofs, failures }
}

async function materialOf(issued: Issued, ...clientCas: string[]): Promise<TlsMaterial> {
  const { directory: _, clientCa: path, ...files } = await filesOf(issued, ...clientCas)
  return await readTlsMaterial(clientCas.length === 0 ? files : { ...files, clientCa: path })
}

async function secured(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: ca.certificate, ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return socket
}

const asClient = ({ certificate, key }: Issued) => ({ cert: certificate, key })

describe('a registry over TLS', () => {
  it('is reached by those who trust its authority, and names itself https', async () => {
    const { client, proofs } = await start({ material: await materialOf(one) })
    const answer = await client().get('/v2/', { host: 'registry.example' })
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([
      401,
      'Bearer realm="https://registry.example/auth/token"'
    ])
    expect(proofs).toEqual([{ authorization: undefined, certificate: undefined, address: '127.0.0.1' }])
    await expect(client({ ca: clientCa.certificate }).get('/v2/')).rejects.toThrow(/certificate/)
  })

  it('speaks TLS 1.2 and later', async () => {
    const { port } = await start({ material: await materialOf(one) })
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      expect((await secured(port, { minVersion: version, maxVersion: version })).getProtocol()).toBe(version)
    }
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    await expect(secured(port, old)).rejects.toThrow(/alert protocol version/)
  })

  it('answers plain HTTP with nothing', async () => {
    const { port } = await start({ material: await materialOf(one) })
    const plain = new TestClient(port).raw()
    plain.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await plain.closed()).not.toContain('200')
  })

  it('closes connections beyond their number at once, also those that shake no hands', async () => {
    const { port } = await start({ material: await materialOf(one) }, { maxConnections: 2 })
    await secured(port)
    const silent = connectPlainly(port, '127.0.0.1')
    onTestFinished(() => void silent.destroy())
    await once(silent, 'connect')
    await expect(secured(port)).rejects.toThrow()
  })

  it('drops a client that sends its head too slowly, and refuses one that is too long', async () => {
    const limits = { headersTimeoutMs: 100, maxHeaderBytes: 8192 }
    const { port, client } = await start({ material: await materialOf(one) }, limits)
    const slow = await secured(port)
    slow.resume().write('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    await once(slow, 'close')
    expect((await client().get('/v2/', { authorization: 'x'.repeat(9000) })).status).toBe(431)
  })

  it('lets go of connections that shake no hands when it stops', async () => {
    const { server, port, failures } = await start({ material: await materialOf(one) })
    const silent = connectPlainly(port, '127.0.0.1')
    await Promise.all([once(silent, 'connect'), once(server, 'connection')])
    server.closeAllConnections()
    await once(silent, 'close')
    expect(failures).not.toContain('ERR_TLS_HANDSHAKE_TIMEOUT')
  })
})

describe('a client certificate', () => {
  it('is passed on when an authority of the operator signed it', async () => {
    const { client, proofs } = await start({ material: await materialOf(one, clientCa.certificate) })
    expect((await client(asClient(alice)).get('/v2/')).status).toBe(200)
    expect(proofs.at(-1)?.certificate?.subject.CN).toBe('alice')
    expect((await client().get('/v2/')).status).toBe(401)
  })

  it('of another authority, or that has run out, proves nothing', async () => {
    const { client, proofs } = await start({ material: await materialOf(one, clientCa.certificate) })
    const stranger = await ca.issue('alice')
    const late = await clientCa.issue('alice', { validForMs: -1000 })
    for (const certificate of [stranger, late]) {
      expect((await client(asClient(certificate)).get('/v2/')).status).toBe(401)
      expect(proofs.at(-1)?.certificate).toBeUndefined()
    }
  })

  it('proves nothing once it has run out on an open connection', async () => {
    const { client } = await start({ material: await materialOf(one, clientCa.certificate) })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const kept = client({ ...asClient(alice), agent })
    expect((await kept.get('/v2/')).status).toBe(200)
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 3_600_000 })
    onTestFinished(() => void vi.useRealTimers())
    expect((await kept.get('/v2/')).status).toBe(401)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('is still known when a session of %s is resumed', async (maxVersion) => {
    const { port, proofs } = await start({ material: await materialOf(one, clientCa.certificate) })
    const first = await secured(port, { ...asClient(alice), maxVersion })
    first.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(first, 'data')
    const resumed = await secured(port, { ...asClient(alice), maxVersion, session: first.getSession() })
    expect(resumed.isSessionReused()).toBe(true)
    resumed.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(resumed, 'data')
    expect(proofs.map(({ certificate }) => certificate?.subject.CN)).toEqual(['alice', 'alice'])
  })

  it('is not asked for without such an authority', async () => {
    const { client, proofs } = await start({ material: await materialOf(one) })
    expect((await client(asClient(alice)).get('/v2/')).status).toBe(401)
    expect(proofs.at(-1)?.certificate).toBeUndefined()
  })

  it('can be required', async () => {
    const material = await materialOf(one, clientCa.certificate)
    const { client } = await start({ material, requireClientCertificate: true })
    expect((await client(asClient(alice)).get('/v2/')).status).toBe(200)
    await expect(client().get('/v2/')).rejects.toThrow()
    await expect(client(asClient(await ca.issue('alice'))).get('/v2/')).rejects.toThrow()
  })

  it('of an authority that was taken away is worth nothing to connections, old, new and resumed', async () => {
    const other = await TestCa.create('other clients')
    const { server, client, port, failures } = await start({ material: await materialOf(one, clientCa.certificate) })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    onTestFinished(() => agent.destroy())
    const kept = client({ ...asClient(alice), agent })
    expect((await kept.get('/v2/')).status).toBe(200)
    const first = await secured(port, { ...asClient(alice), maxVersion: 'TLSv1.2' })
    const session = first.getSession()
    const resumed = await secured(port, { ...asClient(alice), maxVersion: 'TLSv1.2', session })
    expect(resumed.isSessionReused()).toBe(true)

    const unfinished = connectPlainly(port, '127.0.0.1')
    await Promise.all([once(unfinished, 'connect'), once(server, 'connection')])
    server.replace(await materialOf(one, other.certificate))
    await once(unfinished, 'close')
    expect(failures).not.toContain('ERR_TLS_HANDSHAKE_TIMEOUT')
    const statusOf = () =>
      kept.get('/v2/').then(
        ({ status }) => status,
        () => undefined
      )
    await expect.poll(statusOf).toBe(401)
    const again = await secured(port, { ...asClient(alice), maxVersion: 'TLSv1.2', session })
    expect(again.isSessionReused()).toBe(false)
    again.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(String((await once(again, 'data'))[0])).toContain('401')
  })

  it('of an authority that was taken away ends with the answer that is under way', async () => {
    const { server, port } = await start({ material: await materialOf(one, clientCa.certificate) })
    const socket = await secured(port, asClient(alice))
    socket.write('POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{')
    await once(server, 'request')
    server.replace(await materialOf(one, ca.certificate))
    socket.resume()
    socket.write('}')
    await once(socket, 'close')
  })
})

describe('files of certificates', () => {
  const refused = (message: RegExp) => ({ code: 'TLS_UNUSABLE', message: expect.stringMatching(message) })

  it.each([
    ['a key of another certificate', async (files: TlsFiles) => writeFile(files.key, two.key), /does not belong to/],
    ['no certificate', async (files: TlsFiles) => writeFile(files.certificate, ''), /tls\.crt does not hold/],
    [
      'half a certificate',
      async (files: TlsFiles) => writeFile(files.certificate, one.certificate.slice(0, 300)),
      /whole/
    ],
    [
      'half a chain',
      async (files: TlsFiles) => writeFile(files.certificate, `${one.certificate}\n${ca.certificate.slice(0, 300)}`),
      /whole/
    ],
    [
      'a damaged certificate',
      async (files: TlsFiles) => writeFile(files.certificate, damaged(one.certificate)),
      /read/
    ],
    [
      'half a key',
      async (files: TlsFiles) => writeFile(files.key, one.key.slice(0, 60)),
      /tls\.key holds no private key/
    ],
    ['no file', async (files: TlsFiles) => rm(files.key), /tls\.key can not be read \(ENOENT\)/],
    ['a huge file', async (files: TlsFiles) => writeFile(files.key, Buffer.alloc(2_000_000)), /2000000 bytes/],
    ['no authority', async (files: TlsFiles) => writeFile(files.clientCa ?? '', 'nonsense'), /ca\.crt does not hold/]
  ])('with %s are refused, and the wrong one is named', async (_, spoil, message) => {
    const files = await filesOf(one, clientCa.certificate)
    await spoil(files)
    await expect(readTlsMaterial(files)).rejects.toEqual(expect.objectContaining(refused(message)))
  })

  it('never put a key into the message', async () => {
    const files = await filesOf({ ...one, key: two.key })
    const error: unknown = await readTlsMaterial({ certificate: files.certificate, key: files.key }).catch((e) => e)
    expect(String((error as Error).stack)).not.toContain(two.key.split('\n')[1])
  })
})

describe('a reload', () => {
  async function startReloading(...clientCas: string[]) {
    const files = await filesOf(one, ...clientCas)
    const used = clientCas.length === 0 ? { certificate: files.certificate, key: files.key } : files
    const material = await readTlsMaterial(used)
    const { server, port } = await start({ material })
    const lines: string[] = []
    const log = {
      ...SILENT,
      info: (_: object, text: string) => lines.push(text),
      warn: (_: object, text: string) => lines.push(text)
    }
    const reloader = new TlsReloader({ server, log }, used, material, { everyMs: 10 })
    lines.length = 0
    const shown = async () => (await secured(port)).getPeerCertificate().subject.CN
    return { files, reloader, lines, shown, server }
  }

  it('takes a new pair, and nothing when nothing changed', async () => {
    const { files, reloader, lines, shown } = await startReloading()
    await reloader.check()
    expect([await shown(), lines]).toEqual(['one', []])
    await writeFile(files.certificate, two.certificate)
    await writeFile(files.key, two.key)
    await reloader.check()
    expect(await shown()).toBe('two')
    expect(lines[0]).toBe('took a new TLS certificate')
  })

  it('keeps the old pair while the new one is half written or does not fit, and says so once', async () => {
    const { files, reloader, lines, shown } = await startReloading()
    await writeFile(files.certificate, two.certificate)
    for (let round = 0; round < 3; round++) await reloader.check()
    expect([await shown(), lines]).toEqual([
      'one',
      ['the new TLS certificate can not be used; the one from before stays']
    ])
    await writeFile(files.key, two.key)
    await reloader.check()
    expect(await shown()).toBe('two')
  })

  it('follows links as Kubernetes changes them', async () => {
    const { files, reloader, shown } = await startReloading()
    for (const [name, issued] of Object.entries({ '..one': one, '..two': two })) {
      await writeFile(join(files.directory, `${name}.crt`), issued.certificate)
      await writeFile(join(files.directory, `${name}.key`), issued.key)
    }
    const point = async (name: string) => {
      for (const [path, end] of [
        [files.certificate, 'crt'],
        [files.key, 'key']
      ] as const) {
        await symlink(`${name}.${end}`, `${path}.new`)
        await rename(`${path}.new`, path)
      }
    }
    await point('..one')
    await reloader.check()
    expect(await shown()).toBe('one')
    await point('..two')
    await reloader.check()
    expect(await shown()).toBe('two')
  })

  it('happens by itself, until it is stopped', async () => {
    const { files, reloader, shown } = await startReloading()
    reloader.start()
    await writeFile(files.certificate, two.certificate)
    await writeFile(files.key, two.key)
    await expect.poll(shown).toBe('two')
    reloader.stop()
  })

  it('says once that a certificate runs out soon, and once that it has', async () => {
    const { reloader, lines } = await startReloading()
    const validTo = Date.now() + 3_600_000
    const at = async (now: number) => {
      vi.setSystemTime(now)
      const before = reads
      await vi.waitFor(() => expect(reads).toBeGreaterThan(before + 1), { timeout: 90_000 })
    }
    let reads = 0
    const check = reloader.check.bind(reloader)
    vi.spyOn(reloader, 'check').mockImplementation(async () => {
      await check()
      reads += 1
    })
    vi.useFakeTimers({ toFake: ['Date'] })
    onTestFinished(() => void vi.useRealTimers())
    reloader.start()
    await at(validTo - 3_000_000)
    expect(lines).toEqual([])
    await at(validTo - 600_000)
    expect(lines).toEqual(['the TLS certificate runs out soon'])
    await at(validTo + 600_000)
    expect(lines).toEqual(['the TLS certificate runs out soon', 'the TLS certificate has run out'])
    reloader.stop()
  })
})

/** The same with other bytes in the middle. */
function damaged(pem: string): string {
  return pem.replace(/(?<=\n)[A-Za-z0-9+/]{64}(?=\n)/, 'A'.repeat(64))
}
