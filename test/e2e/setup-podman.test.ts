import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Podman } from '../support/clients/podman.ts'
import { HUB_SERVER, type MirroredHub, startMirroredHub } from '../support/mirrored-hub.ts'
import { LAYERMESH } from '../support/node.ts'
import { run, runOk } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const sandbox = useSandbox()
let mirrored: MirroredHub

beforeAll(async () => {
  mirrored = await startMirroredHub(sandbox)
})

const PROGRAMS = ['podman', 'runc', 'skopeo', 'docker-registry', 'openssl'] as const

describeWith(PROGRAMS, 'podman that was set up', () => {
  test('asks the node first and the registry while it is down; undone, its files are as before', async () => {
    const { hub, node, internet } = mirrored
    await hub.push('library/app:1')
    await hub.push('library/app:2')
    const podman = await Podman.create(sandbox, 'podman', [], undefined, internet.env)
    const config = podman.userRegistriesConf
    const setup = (...args: string[]) =>
      runOk(LAYERMESH, ['setup', ...args, '--state-dir', join(sandbox.directory, 'state')])

    const where = ['--config', config, '--mirror', node.registryUrl]
    expect(await setup('podman', ...where)).toContain(`podman: make ${config}.d/50-layermesh.conf`)
    expect(await setup('podman', ...where)).toBe('podman: nothing to change\n')

    await podman.pull('docker.io/library/app:1')
    expect(hub.proxy.traffic.requests({ wanted: 'blob' })).toBeGreaterThan(0)
    expect(internet.visits).toEqual([])

    await node.stop()
    await podman.pull('docker.io/library/app:2')
    expect(internet.visits).toContain(HUB_SERVER)

    await setup('undo', 'podman')
    expect(await readdir(sandbox.directory)).not.toContain('state')
    await expect(readdir(dirname(config))).rejects.toThrow(/ENOENT/)
  })

  test('keeps to what its user has set for a registry', async () => {
    const { internet } = mirrored
    const podman = await Podman.create(sandbox, 'podman-own', [], undefined, internet.env)
    const config = podman.userRegistriesConf
    const own = join(`${config}.d`, '99-own.conf')
    await mkdir(dirname(own), { recursive: true })
    await writeFile(own, '[[registry]]\nlocation = "docker.io"\nblocked = true\n')
    const where = ['--config', config, '--state-dir', join(sandbox.directory, 'state-own')]
    const named = await run(LAYERMESH, ['setup', 'podman', '--registry', 'docker.io', ...where])
    expect([named.code, named.stderr]).toEqual([1, expect.stringContaining(`docker.io is set in ${own} already`)])
    await runOk(LAYERMESH, ['setup', 'podman', ...where])
    expect(await readFile(join(`${config}.d`, '50-layermesh.conf'), 'utf8')).not.toContain('docker.io')
    await expect(podman.pull('docker.io/library/app:1')).rejects.toThrow(/blocked/)
  })
})
