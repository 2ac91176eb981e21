import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { loadConfig } from './config/index.ts'
import { createLog } from './log.ts'
import { startNode } from './node.ts'

async function start(registry: object) {
  const dataDir = await mkdtemp(join(tmpdir(), 'layermesh-listeners-'))
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }))
  const text = JSON.stringify({
    dataDir,
    role: 'seed',
    registry: { listen: '127.0.0.1:0', ...registry },
    admin: { listen: '127.0.0.1:0' },
    mesh: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    log: { level: 'fatal' }
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
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-tls-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  const tls = { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
  await writeFile(tls.certificate, 'nonsense')
  await writeFile(tls.key, 'nonsense')
  const error: unknown = await start({ tls }).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'TLS_UNUSABLE', key: 'registry.tls' })
  expect((error as Error).message).toContain(tls.certificate)
})
