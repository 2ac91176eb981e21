import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@layermesh/node'
import { beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { runCommandLine } from '../../packages/cli/src/run.ts'
import { fakeContext } from '../../packages/cli/src/testing/fake-context.ts'
import { flagsIn, readTop, unknownFlags } from './support.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
const ADDRESS = '10.0.0.1'
/** What Kubernetes puts in place of `$(NAME)`. */
const VARIABLES: Readonly<Record<string, string>> = { POD_IP: ADDRESS, HOST_IP: ADDRESS, SEED_PEER_ID: PEER }

interface Probe {
  readonly exec?: { readonly command: readonly string[] }
  readonly httpGet?: { readonly host: string; readonly port: number; readonly path: string }
}

interface Container {
  readonly name: string
  readonly command?: readonly string[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly ports?: readonly { readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: true }[]
}

interface PodSpec {
  readonly hostNetwork?: boolean
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly fsGroupChangePolicy: string }
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
  readonly tolerations?: readonly unknown[]
  readonly volumes: readonly {
    readonly name: string
    readonly secret?: { readonly defaultMode: number }
    readonly hostPath?: { readonly path: string }
  }[]
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly template?: { readonly spec: PodSpec }
    readonly ports?: readonly { readonly port: number }[]
  }
}

let manifests: Manifest[]

beforeAll(async () => {
  manifests = await readManifests('deploy/kubernetes/layermesh.yaml')
})

async function readManifests(path: string): Promise<Manifest[]> {
  const documents = parseAllDocuments(await readTop(path))
  for (const { errors } of documents) expect(errors).toEqual([])
  return documents.map((document) => document.toJS() as Manifest)
}

function manifest(kind: string): Manifest {
  const found = manifests.filter((one) => one.kind === kind)
  expect(found, kind).toHaveLength(1)
  return found[0] as Manifest
}

function podOf(kind: string): { pod: PodSpec; container: Container; args: string[] } {
  const pod = manifest(kind).spec?.template?.spec as PodSpec
  const [container] = pod.containers as [Container]
  const args = (container.args ?? []).map((arg) =>
    arg.replace(/\$\(([A-Z_]+)\)/g, (_, name: string) => VARIABLES[name] ?? '')
  )
  return { pod, container, args }
}

/** The settings that a pod's node runs with: those of its file and of its flags. */
async function configOf(kind: string) {
  const { container, args } = podOf(kind)
  const file =
    container.env
      ?.find(({ name }) => name === 'LAYERMESH_CONFIG')
      ?.value?.split('/')
      .at(-1) ?? ''
  const text = manifest('ConfigMap').data?.[file] ?? ''
  const valuesOf = (flag: string) => args.filter((arg) => arg.startsWith(`${flag}=`)).map((arg) => arg.split('=')[1])
  const { config } = await loadConfig({
    text,
    flags: [
      { path: ['mesh', 'listen'], value: valuesOf('--mesh'), origin: { kind: 'flag', flag: '--mesh' } },
      ...valuesOf('--trust').map((peerId) => ({
        path: ['trust'],
        value: { peerId },
        origin: { kind: 'flag', flag: '--trust' } as const,
        append: true
      }))
    ]
  })
  return config
}

describe.each(['StatefulSet', 'DaemonSet'])('the %s', (kind) => {
  test('passes settings and flags that a node takes', async () => {
    const config = await configOf(kind)
    expect(config.role).toBe(kind === 'StatefulSet' ? 'seed' : 'node')
    expect(config.trust.map(({ peerId }) => peerId)).toEqual(kind === 'StatefulSet' ? [] : [PEER])
    expect(await unknownFlags(['node'], flagsIn(podOf(kind).args.join(' ')))).toEqual([])
  })

  test('listens for peers on the port that is named, and joins through the service', async () => {
    const config = await configOf(kind)
    const { container } = podOf(kind)
    const [port] = container.ports ?? []
    expect(config.mesh.listen).toEqual([`/ip4/${ADDRESS}/tcp/${port?.containerPort}`])
    const { metadata, spec } = manifest('Service')
    expect(config.mesh.join).toEqual([`${metadata.name}.${metadata.namespace}.svc:${spec?.ports?.[0]?.port}`])
  })

  test('serves clients and the admin API to its own host only, where the probes ask', async () => {
    const config = await configOf(kind)
    expect([config.registry.listen.host, config.admin.listen.host]).toEqual(['127.0.0.1', '127.0.0.1'])
    const { pod, container } = podOf(kind)
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(probe).toBeDefined()
      if (probe?.httpGet) {
        expect(pod.hostNetwork).toBe(true)
        expect(`${probe.httpGet.host}:${probe.httpGet.port}`).toBe(`127.0.0.1:${config.admin.listen.port}`)
        expect(probe.httpGet.path).toMatch(/^\/(livez|readyz)$/)
      } else if (probe?.exec?.command[0] !== 'layermesh') {
        expect(probe?.exec?.command.at(-1)).toContain(`http://127.0.0.1:${config.admin.listen.port}/readyz`)
      }
    }
  })

  test('keeps its data and finds its secret in what is mounted, and neither is open to others', async () => {
    const config = await configOf(kind)
    const { pod, container } = podOf(kind)
    const mounted = (path = '') =>
      container.volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`))?.name
    expect(mounted(config.dataDir)).toBe('data')
    expect(mounted(config.mesh.secretFile)).toBe('secret')
    const secret = pod.volumes.find(({ name }) => name === 'secret')?.secret
    expect((secret?.defaultMode ?? 0o777) & 0o007).toBe(0)
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, fsGroupChangePolicy: 'OnRootMismatch' })
  })
})

describe('the set-up of hosts', () => {
  /** The init container of a pod, with what it mounts of the host: where it lies there, and whether it may write. */
  function initOf(pod: PodSpec, name: string) {
    const container = pod.initContainers?.find((one) => one.name === name)
    const mounts = (container?.volumeMounts ?? []).map(({ name, mountPath, readOnly = false }) => {
      const path = pod.volumes.find((volume) => volume.name === name)?.hostPath?.path
      return { path, mountPath, readOnly }
    })
    return { command: container?.command ?? [], mounts, security: container?.securityContext ?? {} }
  }

  async function undoPod(): Promise<PodSpec> {
    const [undo] = await readManifests('deploy/kubernetes/undo-setup.yaml')
    return undo?.spec?.template?.spec as PodSpec
  }

  test('runs a command that there is, and names where the node serves', async () => {
    const { command } = initOf(podOf('DaemonSet').pod, 'setup')
    expect(command.slice(0, 3)).toEqual(['layermesh', 'setup', 'containerd'])
    expect(await unknownFlags(['setup', 'containerd'], flagsIn(command.join(' ')))).toEqual([])
    const { registry } = await configOf('DaemonSet')
    expect(command).toContain(`--mirror=http://${registry.listen.host}:${registry.listen.port}`)
  })

  test('is taken back by a command that there is, on the same hosts, in the same places', async () => {
    const [setup, undo] = [initOf(podOf('DaemonSet').pod, 'setup'), initOf(await undoPod(), 'undo')]
    expect(undo.command).toEqual(['layermesh', 'setup', 'undo', '--root=/host'])
    expect(await unknownFlags(['setup', 'undo'], flagsIn(undo.command.join(' ')))).toEqual([])
    expect(undo.mounts).toEqual(setup.mounts.filter(({ readOnly }) => !readOnly))
    expect((await undoPod()).tolerations).toEqual(podOf('DaemonSet').pod.tolerations)
  })

  test('does on a host what its commands say, and takes it back', async () => {
    const root = await mkdtemp(join(tmpdir(), 'lm-host-'))
    const onHost = async (command: readonly string[]) => {
      const context = fakeContext()
      const args = command.slice(1).map((arg) => (arg === '--root=/host' ? `--root=${root}` : arg))
      expect(await runCommandLine(args, context)).toBe(0)
      return context.err.text
    }
    try {
      for (const path of ['etc/containerd/certs.d', 'var/lib/layermesh-setup'])
        await mkdir(join(root, path), { recursive: true })
      await writeFile(join(root, 'etc/containerd/config.toml'), 'version = 2\n')
      const before = await readdir(root, { recursive: true })
      const notes = await onHost(initOf(podOf('DaemonSet').pod, 'setup').command)
      expect(notes).toContain('until /etc/containerd/config.toml has it as config_path')
      expect(await readdir(join(root, 'etc/containerd/certs.d'))).toEqual(['_default'])
      expect(await readFile(join(root, 'etc/containerd/config.toml'), 'utf8')).toBe('version = 2\n')
      await onHost(initOf(await undoPod(), 'undo').command)
      expect(await readdir(root, { recursive: true })).toEqual(
        before.filter((path) => !path.endsWith('layermesh-setup'))
      )
    } finally {
      await rm(root, { recursive: true })
    }
  })

  test('sees of a host only what it needs, and has no capabilities', async () => {
    const pods = [initOf(podOf('DaemonSet').pod, 'setup'), initOf(await undoPod(), 'undo')]
    for (const { mounts, security } of pods) {
      for (const { path, mountPath } of mounts) expect(mountPath).toBe(`/host${path}`)
      expect(mounts.filter(({ readOnly }) => !readOnly).map(({ path }) => path)).toEqual([
        '/etc/containerd/certs.d',
        '/var/lib/layermesh-setup'
      ])
      expect(security).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] }
      })
      expect(security).not.toHaveProperty('privileged')
    }
  })

  test('keeps its journal where no node can write', () => {
    const { pod, container } = podOf('DaemonSet')
    const mounted = container.volumeMounts.map(({ name }) => pod.volumes.find((volume) => volume.name === name))
    expect(mounted.map((volume) => volume?.hostPath?.path)).not.toContain('/var/lib/layermesh-setup')
  })
})
