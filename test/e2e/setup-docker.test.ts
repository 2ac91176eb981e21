import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Docker } from '../support/clients/docker.ts'
import { eventually, HANG_MS } from '../support/http.ts'
import { HUB_SERVER, type MirroredHub, startMirroredHub } from '../support/mirrored-hub.ts'
import { LAYERMESH } from '../support/node.ts'
import { run } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

/** As people write it. */
const OWN_SETTINGS = '{\n\t"log-level": "info",\n\t"labels": [ "rack=7" ]\n}'

const sandbox = useSandbox()
let mirrored: MirroredHub
let docker: Docker

beforeAll(async () => {
  mirrored = await startMirroredHub(sandbox)
  docker = await Docker.start(sandbox, { env: mirrored.internet.env })
  await writeFile(docker.configFile, OWN_SETTINGS)
})

/** `layermesh setup` for this daemon, which it asks where it keeps images. */
function setup(...args: string[]) {
  return run(LAYERMESH, ['setup', ...args, '--state-dir', join(sandbox.directory, 'state')], { env: docker.env })
}

const paths = () => [
  ...['--config', docker.configFile, '--certs-dir', join(sandbox.directory, 'certs.d')],
  ...['--pid-file', docker.pidFile, '--mirror', mirrored.node.registryUrl]
]

const PROGRAMS = ['docker', 'dockerd', 'containerd', 'runc', 'skopeo', 'docker-registry', 'openssl'] as const

describeWith(PROGRAMS, 'Docker that was set up', () => {
  test('asks the node first and the registry while it is down; undone, its file is as before', async () => {
    const { hub, node, internet } = mirrored
    await hub.push('library/app:1')
    await hub.push('library/app:2')

    const dry = await setup('docker', ...paths(), '--dry-run', '--json')
    expect(JSON.parse(dry.stdout)).toMatchObject({
      dryRun: true,
      changes: [{ path: docker.configFile, action: 'change' }]
    })
    expect(await readFile(docker.configFile, 'utf8')).toBe(OWN_SETTINGS)

    const changed = await setup('docker', ...paths(), '--reload')
    expect([changed.code, changed.stdout]).toEqual([0, expect.stringContaining(`docker: change ${docker.configFile}`)])
    expect((await setup('docker', ...paths())).stdout).toBe('docker: nothing to change\n')
    await eventually(
      'the daemon goes by it',
      HANG_MS,
      async () => (await docker.registryMirrors()).includes(`${node.registryUrl}/`) || undefined
    )

    await docker.pull('app:1')
    expect(hub.proxy.traffic.requests({ wanted: 'blob' })).toBeGreaterThan(0)
    expect(internet.visits).toEqual([])

    await node.stop()
    await docker.pull('app:2')
    expect(internet.visits).toContain(HUB_SERVER)

    const undone = await setup('undo', 'docker', '--reload', '--pid-file', docker.pidFile)
    // A daemon that is told to read its file again keeps what is not in it any more.
    expect([undone.code, undone.stdout]).toEqual([0, expect.stringContaining('to go by it: systemctl restart docker')])
    expect(await readFile(docker.configFile, 'utf8')).toBe(OWN_SETTINGS)
    expect(await readdir(sandbox.directory)).not.toContain('state')
  })

  test('is refused a mirror that a flag of the daemon has named already: it would not start again', async () => {
    const settings = join(sandbox.directory, 'flagged.json')
    await writeFile(settings, '{}')
    const flags = [`--config-file=${settings}`, '--registry-mirror=https://cache.example']
    const named = sandbox.start('flagged', 'dockerd', [...flags, ...elsewhere('flagged')])
    await named.waitForLine(/API listen on/, HANG_MS)
    const { code, stderr } = await setup('docker', ...paths(), '--config', settings, '--store', 'classic')
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`process ${named.pid} gives --registry-mirror to dockerd`)
    ])
    await named.stop()
    expect((await setup('docker', ...paths(), '--config', settings, '--store', 'classic')).code).toBe(0)
    const again = sandbox.start('flagged again', 'dockerd', [...flags, ...elsewhere('flagged')])
    await again.waitForLine(/specified both as a flag and in the configuration file: registry-mirrors/, HANG_MS)
    expect((await setup('undo')).code).toBe(0)
  })
})

/** Flags by which a daemon touches nothing of this machine. */
function elsewhere(name: string): string[] {
  const directory = join(sandbox.directory, name)
  return [
    ...[`--data-root=${directory}/data`, `--exec-root=${directory}/exec`, `--pidfile=${directory}/docker.pid`],
    ...[`--host=unix://${directory}/docker.sock`, '--bridge=none', '--iptables=false', '--ip6tables=false']
  ]
}
