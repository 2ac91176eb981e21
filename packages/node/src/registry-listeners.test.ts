import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadConfig } from './config/index.ts'
import { createLog } from './log.ts'
import { startNode } from './node.ts'

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-listeners-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function start(registry: object, settings: object = {}) {
  const dataDir = await newDirectory()
  const text = JSON.stringify({
    dataDir,
    role: 'seed',
    registry: { listen: '127.0.0.1:0', ...registry },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    upstreams: { default: 'none', others: 'none' },
    log: { level: 'fatal' },
    ...settings
  })
  const { config } = await loadConfig({ text, environment: {} })
  const node = await startNode(config, { log: createLog(config.log) })
  onTestFinished(() => node.stop(AbortSignal.timeout(0)))
  return node
}

it('opens a mirror beside the registry that shows the same and takes nothing', async () => {
  const { info } = await start({ mirrorListen: '127.0.0.1:0' })
  const blobs = '/v2/team/app/blobs'
  const digest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'
  const push = { method: 'POST', body: '{}' }
  expect((await fetch(`${info.mirror}${blobs}/uploads/?digest=${digest}`, push)).status).toBe(405)
  expect((await fetch(`${info.registry}${blobs}/uploads/?digest=${digest}`, push)).status).toBe(201)
  expect(await (await fetch(`${info.mirror}${blobs}/${digest}`)).text()).toBe('{}')
  const status = (await (await fetch(`${info.admin}/api/v1/status`)).json()) as { registry: string; mirror: string }
  expect([status.registry, status.mirror]).toEqual([info.registry, info.mirror])
})

it('has no mirror when none was asked for', async () => {
  const { info } = await start({})
  expect(info).not.toHaveProperty('mirror')
})

it('lets go of the registry’s port when the mirror’s is taken', async () => {
  const first = await start({})
  const taken = new URL(first.info.registry).host
  await expect(start({ mirrorListen: taken })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})

it('does not start without a certificate that can be used', async () => {
  const directory = await newDirectory()
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(tls.certificate, 'nonsense')
  await writeFile(tls.key, 'nonsense')
  const error: unknown = await start({ tls }).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'TLS_UNUSABLE', key: 'registry.tls' })
  expect((error as Error).message).toContain(tls.certificate)
})

describe('with access control', () => {
  const access = {
    rules: [
      { repositories: 'open/**', grant: [{ anyone: true, actions: ['pull', 'create'] }] },
      { repositories: 'mine/**', grant: [{ anyone: true, actions: ['pull'] }] }
    ]
  }

  it('an upload goes on after a restart', async () => {
    const dataDir = await newDirectory()
    const first = await start({}, { dataDir, access })
    const begun = await fetch(`${first.info.registry}/v2/open/app/blobs/uploads/`, { method: 'POST' })
    const location = begun.headers.get('location') ?? ''
    expect(location).toMatch(/-[0-9a-f]{32}$/)
    await first.stop(AbortSignal.timeout(0))
    const again = await start({}, { dataDir, access })
    expect((await fetch(`${again.info.registry}${location}`)).status).toBe(204)
    expect((await fetch(`${again.info.registry}${location.replace('open/app', 'open/other')}`)).status).toBe(404)
  })

  it('the registry asks who a client is, the mirror does not, and failed log-ins are counted', async () => {
    const { info } = await start({ mirrorListen: '127.0.0.1:0' }, { access })
    expect((await fetch(`${info.registry}/v2/`)).headers.get('www-authenticate')).toMatch(/^Bearer realm="http:/)
    expect((await fetch(`${info.mirror}/v2/`)).status).toBe(200)
    const authorization = `Basic ${Buffer.from('nobody:wrong').toString('base64')}`
    expect((await fetch(`${info.registry}/v2/`, { headers: { authorization } })).status).toBe(401)
    const metrics = await (await fetch(`${info.admin}/metrics`)).text()
    expect(metrics).toContain('layermesh_logins_total{result="failure"} 1')
  })
})
