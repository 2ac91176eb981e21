import { loadConfig } from '@layermesh/node'
import { beforeAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
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
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value?: string }[]
  readonly ports?: readonly { readonly containerPort: number }[]
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[]
}

interface PodSpec {
  readonly hostNetwork?: boolean
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly fsGroupChangePolicy: string }
  readonly containers: readonly Container[]
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly defaultMode: number } }[]
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
  const documents = parseAllDocuments(await readTop('deploy/kubernetes/layermesh.yaml'))
  for (const { errors } of documents) expect(errors).toEqual([])
  manifests = documents.map((document) => document.toJS() as Manifest)
})

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
