import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { CriContainerd } from '../support/clients/cri-containerd.ts'
import { HUB_SERVER, type MirroredHub, startMirroredHub } from '../support/mirrored-hub.ts'
import { LAYERMESH } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const sandbox = useSandbox()
let mirrored: MirroredHub

beforeAll(async () => {
  mirrored = await startMirroredHub(sandbox)
})

beforeEach(async () => {
  const { node, internet } = mirrored
  internet.visits.length = 0
  if (!node.process.running) await node.restart()
})

const PROGRAMS = ['containerd', 'ctr', 'runc', 'skopeo', 'docker-registry', 'openssl'] as const

describeWith(PROGRAMS, 'containerd that was set up', () => {
  test('asks the node first and the registry while it is down; undone, its files are as before', async () => {
    const { hub, node, internet } = mirrored
    await hub.push('library/app:1')
    await hub.push('library/app:2')
    const containerd = await CriContainerd.create(sandbox, 'containerd', internet.env)
    const state = join(sandbox.directory, 'state')
    const setup = (...args: string[]) => runOk(LAYERMESH, ['setup', ...args, '--state-dir', state])
    const before = await readFile(containerd.config)

    const where = ['--config', containerd.config, '--certs-dir', containerd.certsDir, '--mirror', node.registryUrl]
    expect(await setup('containerd', ...where)).toContain('to go by it: systemctl restart containerd')
    expect(await setup('containerd', ...where)).toBe('containerd: nothing to change\n')
    await containerd.restart()
    // containerd 2 quotes in another way.
    expect((await containerd.dumpConfig()).replaceAll("'", '"')).toContain(`config_path = "${containerd.certsDir}"`)

    await containerd.pull('docker.io/library/app:1')
    expect(hub.proxy.traffic.requests({ wanted: 'blob' })).toBeGreaterThan(0)
    expect(internet.visits).toEqual([])

    await node.stop()
    await containerd.pull('docker.io/library/app:2')
    expect(internet.visits).toContain(HUB_SERVER)

    await setup('undo', 'containerd')
    expect(await readFile(containerd.config)).toEqual(before)
    expect(await readdir(dirname(containerd.certsDir))).not.toContain('certs.d')
    expect(await readdir(sandbox.directory)).not.toContain('state')
    await containerd.restart()
    await containerd.pull('docker.io/library/app:1')
  })

  test('keeps the hosts that its user had named, and asks them after the node', async () => {
    const { hub, node, internet } = mirrored
    await hub.push('library/other:1')
    const containerd = await CriContainerd.create(sandbox, 'containerd-own', internet.env)
    const file = join(containerd.certsDir, 'docker.io/hosts.toml')
    const own = `server = "https://${HUB_SERVER}"\n\n# the old cache\n[host."http://127.0.0.1:1"]\n  capabilities = ["pull", "resolve"]\n`
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, own)
    const state = ['--state-dir', join(sandbox.directory, 'state-own')]
    const where = ['--config', containerd.config, '--certs-dir', containerd.certsDir, '--mirror', node.registryUrl]
    await runOk(LAYERMESH, ['setup', 'containerd', '--registry', 'docker.io', ...where, ...state])
    await containerd.restart()

    await containerd.pull('docker.io/library/other:1')
    expect(internet.visits).toEqual([])
    await containerd.remove('docker.io/library/other:1')
    await node.stop()
    await containerd.pull('docker.io/library/other:1')
    expect(internet.visits).toContain(HUB_SERVER)
    await runOk(LAYERMESH, ['setup', 'undo', ...state])
    expect(await readFile(file, 'utf8')).toBe(own)
  })

  test('asks the registry itself what tags mean where that is wanted, and the node for the content', async () => {
    const { hub, node, internet } = mirrored
    await hub.push('library/tagged:1')
    const containerd = await CriContainerd.create(sandbox, 'containerd-tags', internet.env)
    const where = ['--config', containerd.config, '--certs-dir', containerd.certsDir, '--mirror', node.registryUrl]
    const state = ['--state-dir', join(sandbox.directory, 'state-tags')]
    await runOk(LAYERMESH, ['setup', 'containerd', '--tags', 'upstream', ...where, ...state])
    await containerd.restart()

    await hub.proxy.mend()
    await containerd.pull('docker.io/library/tagged:1')
    expect(internet.visits).toContain(HUB_SERVER)
    expect(hub.proxy.traffic.requests({ wanted: 'manifest', reference: '1' })).toBe(1)
    const given = await node.metric('layermesh_sent_bytes_total', { target: 'client' })
    expect(given).toBeGreaterThan(hub.proxy.traffic.bytes({ wanted: 'blob' }))
  })
})
