import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@layermesh/node'
import { describe, expect, test } from 'vitest'
import { runCommandLine } from '../../packages/cli/src/run.ts'
import { fakeContext } from '../../packages/cli/src/testing/fake-context.ts'
import { PACKAGES } from '../support/requirements.ts'
import { flagsIn, readTop, unknownFlags } from './support.ts'

const { config: defaults } = await loadConfig({})
/** A file without comments, blank lines and indentation. */
const linesOf = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))

const REGISTRY = `127.0.0.1:${defaults.registry.listen.port}`

describe('the systemd unit', () => {
  test('runs a command that there is, with settings that a node takes', async () => {
    const unit = await readTop('deploy/systemd/layermesh.service')
    const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? []
    expect(command).toMatch(/\/layermesh node --config \/etc\/layermesh\/layermesh\.yaml /)
    expect(await unknownFlags(['node'], flagsIn(command))).toEqual([])
    const { config } = await loadConfig({ text: await readTop('deploy/systemd/layermesh.yaml') })
    expect(unit).toContain(`LoadCredential=cluster-secret:${config.mesh.secretFile}`)
  })

  test('lets a node stop by itself before it is killed', async () => {
    const unit = await readTop('deploy/systemd/layermesh.service')
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(10)
  })
})

describe('the image', () => {
  test('runs and checks itself by commands that there are', async () => {
    const dockerfile = await readTop('deploy/Dockerfile')
    expect(dockerfile).toContain('ENTRYPOINT ["layermesh", "node"]')
    expect(dockerfile).toContain('CMD ["layermesh", "status"]')
    expect(await unknownFlags(['status'], ['--admin'])).toEqual([])
  })

  test('names the ports of a node', async () => {
    const [, ports = ''] = /^EXPOSE (.*)$/m.exec(await readTop('deploy/Dockerfile')) ?? []
    const mesh = /\/tcp\/(\d+)$/.exec(defaults.mesh.listen[0] ?? '')?.[1]
    expect(ports.split(' ')).toEqual([`${defaults.registry.listen.port}`, `${defaults.admin.listen.port}`, mesh])
  })
})

describe('the files for clients', () => {
  test('point at where a node serves them', async () => {
    const daemon = JSON.parse(await readTop('deploy/clients/docker/daemon.json')) as unknown
    expect(daemon).toEqual({ 'registry-mirrors': [`http://${REGISTRY}`] })
    const containerd = await readTop('deploy/clients/containerd/certs.d/_default/hosts.toml')
    expect(containerd).toContain(`[host."http://${REGISTRY}"]`)
    expect(await readTop('deploy/clients/docker/certs.d/_default/hosts.toml')).toBe(containerd)
    const podman = await readTop('deploy/clients/podman/registries.conf.d/50-layermesh.conf')
    expect(podman).toContain(`location = "${REGISTRY}/docker.io"`)
    expect(podman).toContain(`location = "localhost:${defaults.registry.listen.port}"`)
  })

  test('say what `layermesh setup` writes', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lm-deploy-'))
    try {
      const [docker, podman] = ['etc/docker/daemon.json', 'etc/containers/registries.conf.d/50-layermesh.conf']
      const hosts = 'etc/containerd/certs.d/_default/hosts.toml'
      const where = ['--root', root, '--mirror', `http://${REGISTRY}`]
      for (const args of [
        ['docker', '--store', 'classic'],
        ['containerd', '--containerd-version', '1.7'],
        ['podman', '--registry', 'docker.io']
      ]) {
        expect(await runCommandLine(['setup', ...args, ...where], fakeContext())).toBe(0)
      }
      const [made, shipped] = [(path: string) => readFile(join(root, path), 'utf8'), readTop]
      expect(JSON.parse(await made(docker))).toEqual(JSON.parse(await shipped('deploy/clients/docker/daemon.json')))
      const pairs = [
        [hosts, 'containerd/certs.d/_default/hosts.toml'],
        ['etc/containerd/config.toml', 'containerd/config-1.toml'],
        [podman, 'podman/registries.conf.d/50-layermesh.conf']
      ] as const
      for (const [path, same] of pairs) {
        expect(linesOf(await made(path)), path).toEqual(linesOf(await shipped('deploy/clients', same)))
      }
    } finally {
      await rm(root, { recursive: true })
    }
  })

  test('leave every registry its own place: hosts.toml of all registries names no server', async () => {
    expect(await readTop('deploy/clients/containerd/certs.d/_default/hosts.toml')).not.toMatch(/^server/m)
  })
})

describe('.ci/run', () => {
  test('installs every program that the end-to-end tests need', async () => {
    const script = await readTop('.ci/run')
    const installed = new Map([...script.matchAll(/'([a-z-]+) ([a-z.\- ]+)'/g)].map(([, name, from]) => [name, from]))
    for (const [program, packageName] of Object.entries(PACKAGES)) {
      expect(installed.get(program)?.split(' '), program).toContain(packageName)
    }
  })

  test('asks for the Go that the conformance suite needs', async () => {
    const [, needed] = /^go (\d+\.\d+)/m.exec(await readTop('test/conformance/suite/go.mod')) ?? []
    expect(await readTop('.ci/run')).toContain(`oldest_go=${needed}\n`)
  })
})

describe('package.json', () => {
  test('has npm start and npm run demo take the place of the shell of npm, which passes no signal on', async () => {
    const { scripts } = JSON.parse(await readTop('package.json')) as { scripts: Record<string, string> }
    for (const name of ['start', 'demo', 'run:in']) expect(scripts[name], name).toMatch(/^exec node /)
  })
})
