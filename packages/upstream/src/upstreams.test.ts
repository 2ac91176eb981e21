import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import type { UpstreamLimits } from './limits.ts'
import type { UpstreamsSettings } from './settings.ts'
import { selfSigned } from './testing/certificate.ts'
import { FakeRegistry } from './testing/fake-registry.ts'
import { openUpstreams } from './upstreams.ts'

const { signal } = new AbortController()
const NOTHING: UpstreamsSettings = { others: 'none', registries: [], excluded: [] }

function open(settings: Partial<UpstreamsSettings>, limits: Partial<UpstreamLimits> = {}) {
  const asked: string[] = []
  const warned: string[] = []
  const upstreams = openUpstreams(
    {
      log: { debug: () => {}, info: () => {}, warn: (_, message) => warned.push(message) },
      observer: { asked: (registry, outcome) => asked.push(`${registry} ${outcome}`), rateLimit: () => {} },
      env: {}
    },
    { ...NOTHING, ...settings },
    { userAgent: 'test', limits }
  )
  onTestFinished(() => upstreams.close())
  return { upstreams, asked, warned }
}

const listed = (host: string, url: string) => ({ host, url, realmHosts: [] })

it('asks nobody when none is listed and no others are asked', () => {
  const { upstreams } = open({ defaultHost: 'docker.io' })
  expect(upstreams.get('docker.io')).toBeUndefined()
  expect(upstreams.defaultHost).toBeUndefined()
})

it('asks those that are listed where they are listed', async () => {
  const server = await FakeRegistry.start()
  const { upstreams, asked } = open({ defaultHost: 'a.example', registries: [listed('a.example', server.url)] })
  expect(upstreams.defaultHost).toBe('a.example')
  expect(upstreams.get('b.example')).toBeUndefined()
  const registry = upstreams.get('a.example')
  expect(registry?.host).toBe('a.example')
  expect(await registry?.headManifest('a', 'b', { signal })).toBeUndefined()
  expect(server.log).toEqual(['HEAD /v2/a/manifests/b'])
  expect(asked).toEqual(['a.example missing'])
  expect(upstreams.get('a.example')).toBe(registry)
})

it('asks others at public addresses alone, and counts them as one', async () => {
  const { upstreams, asked } = open({ others: 'public', defaultHost: 'localhost:1' })
  for (const host of ['localhost:1', '127.0.0.1:1', '10.0.0.1', '169.254.169.254']) {
    const registry = upstreams.get(host)
    await expect(registry?.headManifest('a', 'b', { signal })).rejects.toMatchObject({ code: 'UNSAFE' })
  }
  expect(asked).toEqual(['localhost:1 unsafe', 'other unsafe', 'other unsafe', 'other unsafe'])
})

it('never asks those that are listed for that', () => {
  const { upstreams } = open({ others: 'public', defaultHost: 'docker.io', excluded: ['docker.io'] })
  expect(upstreams.get('docker.io')).toBeUndefined()
  expect(upstreams.defaultHost).toBeUndefined()
  expect(upstreams.get('quay.io')).toBeDefined()
})

it('holds a bounded number of others', () => {
  const { upstreams } = open({ others: 'public' })
  const first = upstreams.get('r0.example')
  for (let at = 1; at <= 50; at++) upstreams.get(`r${at}.example`)
  expect(upstreams.get('r50.example')).toBe(upstreams.get('r50.example'))
  expect(upstreams.get('r0.example')).not.toBe(first)
})

it('ends connections, and opens none after that', async () => {
  const server = await FakeRegistry.start()
  const { upstreams } = open({ registries: [listed('a.example', server.url)] })
  const registry = upstreams.get('a.example')
  await registry?.headManifest('a', 'b', { signal })
  expect(await server.server.connections()).toBe(1)
  await upstreams.close()
  await expect.poll(() => server.server.connections()).toBe(0)
  await expect(registry?.headManifest('a', 'b', { signal })).rejects.toMatchObject({ name: 'UpstreamError' })
  const { upstreams: unused } = open({ registries: [listed('a.example', server.url)] })
  await unused.close()
  await expect(unused.get('a.example')?.headManifest('a', 'b', { signal })).rejects.toMatchObject({
    code: 'UNREACHABLE'
  })
})

it('ends the connections of registries too that it has let go of', async () => {
  const tls = await selfSigned()
  const server = await FakeRegistry.start({ tls })
  const blob = server.addBlob(Buffer.alloc(1024))
  server.intercept = ({ url }, response) => {
    if (!url?.includes('/blobs/')) return undefined
    response.writeHead(200, { 'content-length': 1024 }).write('begun')
    return true
  }
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-upstreams-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, tls.cert)
  const { upstreams } = open(
    { registries: [{ ...listed('a.example', server.url), caFile }] },
    { resumeDelaysMs: [0], silenceTimeoutMs: 600_000 }
  )
  const registry = upstreams.get('a.example')
  const body = (await registry?.openBlob('a', blob, 0, { signal }))?.body[Symbol.asyncIterator]()
  await body?.next()
  await writeFile(caFile, `${tls.cert}\nagain`)
  await registry?.headManifest('a', 'b', { signal })
  expect(await server.server.connections()).toBe(2)
  const rest = body?.next().catch(({ message }: Error) => message)
  await upstreams.close()
  await expect.poll(() => server.server.connections()).toBe(0)
  expect(await rest).toContain('UND_ERR_DESTROYED')
})

it('says what is wrong with a file of certificates, and tries it again the next time', async () => {
  const server = await FakeRegistry.start()
  const { upstreams } = open({ registries: [{ ...listed('a.example', server.url), caFile: '/nowhere/ca.pem' }] })
  for (const _ of [1, 2]) {
    await expect(upstreams.get('a.example')?.headManifest('a', 'b', { signal })).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('/nowhere/ca.pem can not be read')
    })
  }
})

it('takes other certificates once their file has changed, and goes on with those before when they can not be used', async () => {
  const [first, second] = [await selfSigned(), await selfSigned()]
  const [server, other] = [await FakeRegistry.start({ tls: first }), await FakeRegistry.start({ tls: second })]
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-upstreams-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const caFile = join(directory, 'ca.pem')
  await writeFile(caFile, first.cert)
  const { upstreams, warned } = open({
    registries: [
      { ...listed('first.example', server.url), caFile },
      { ...listed('second.example', other.url), caFile }
    ]
  })
  const isTrusted = (host: string) =>
    upstreams
      .get(host)
      ?.headManifest('a', 'b', { signal })
      .then(
        () => true,
        () => false
      )
  expect([await isTrusted('first.example'), await isTrusted('second.example')]).toEqual([true, false])
  await writeFile(caFile, 'nothing of use')
  expect(await isTrusted('first.example')).toBe(true)
  expect(warned.at(-1)).toBe('a changed file is not usable; going on with what it held')
  await rm(caFile)
  expect(await isTrusted('first.example')).toBe(true)
  await writeFile(caFile, second.cert)
  expect(await isTrusted('second.example')).toBe(true)
})
