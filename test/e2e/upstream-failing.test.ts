import type { Digest } from '@layermesh/oci'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { MIRRORED_CLIENTS, type MirroredClient } from '../support/clients/mirrored-clients.ts'
import { HANG_MS, quickly, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { lastingAddress } from '../support/ports.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import type { FaultProxy } from '../support/upstream/fault-proxy.ts'
import type { Fault } from '../support/upstream/faults.ts'
import { Internet } from '../support/upstream/internet.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/*
 * Everything that can go wrong at the registry, or on the way there, for nodes; the clients' own way to it is fine. Each
 * time all clients ask a node at once that knows nothing of the fault yet.
 */

const HUB = 'docker.io'
const HUB_SERVER = 'registry-1.docker.io'
const MIB = 1024 * 1024

type ClientName = keyof typeof MIRRORED_CLIENTS
/** From the mesh alone; or from the registry, to which the client went itself; or not at all, and the client says so. */
type End = 'mesh' | 'direct' | 'refused'

interface Case {
  /** @param layer the large one */
  readonly faults: (layer: Digest) => readonly Fault[] | 'refuses connections'
  /** How a pull may end. */
  readonly ends: readonly End[]
  /** The same for clients that take the blobs from wherever they had the manifest, whatever comes. */
  readonly endsAtOneEndpoint?: readonly End[]
  readonly withinMs: number
}

const UNAUTHORIZED = { 'WWW-Authenticate': `Bearer realm="https://127.0.0.3/token",service="x"` }
const TOO_MANY = { 'Retry-After': '30' }
const QUICKLY_MS = 15_000
/** A registry that says nothing is given ten seconds, and what falls silent fifteen. */
const PATIENTLY_MS = 60_000

const CASES: Readonly<Record<string, Case>> = {
  'refuses connections': { faults: () => 'refuses connections', ends: ['direct'], withinMs: QUICKLY_MS },
  'says 429 to all': {
    faults: () => [{ does: 'answer', status: 429, headers: TOO_MANY }],
    ends: ['direct'],
    withinMs: QUICKLY_MS
  },
  'says 503 to all': { faults: () => [{ does: 'answer', status: 503 }], ends: ['direct'], withinMs: QUICKLY_MS },
  'says 500 once': {
    faults: () => [{ on: 'manifest', does: 'answer', status: 500, times: 1 }],
    ends: ['mesh', 'direct'],
    withinMs: QUICKLY_MS
  },
  'wants a token that nobody gives': {
    faults: () => [{ does: 'answer', status: 401, headers: UNAUTHORIZED }],
    ends: ['direct'],
    withinMs: QUICKLY_MS
  },
  'says nothing at all': { faults: () => [{ does: 'hang' }], ends: ['direct'], withinMs: PATIENTLY_MS },
  'ends connections without an answer': { faults: () => [{ does: 'cut' }], ends: ['direct'], withinMs: QUICKLY_MS },
  'gives a manifest with a wrong byte': {
    faults: () => [{ on: 'manifest', method: 'GET', does: 'corrupt', at: 20 }],
    ends: ['direct'],
    withinMs: QUICKLY_MS
  },
  'cuts a blob once': {
    faults: (reference) => [{ on: 'blob', reference, does: 'cut', afterBytes: 1.5 * MIB, times: 1 }],
    ends: ['mesh'],
    withinMs: QUICKLY_MS
  },
  'cuts a blob again and again': {
    faults: (reference) => [{ on: 'blob', reference, does: 'cut', afterBytes: MIB / 2 }],
    ends: ['mesh', 'direct'],
    endsAtOneEndpoint: ['mesh', 'refused'],
    withinMs: PATIENTLY_MS
  },
  'falls silent in a blob once': {
    faults: (reference) => [{ on: 'blob', reference, does: 'hang', afterBytes: 1.5 * MIB, times: 1 }],
    ends: ['mesh'],
    withinMs: PATIENTLY_MS
  },
  'gives a blob with a wrong byte': {
    faults: (reference) => [{ on: 'blob', reference, does: 'corrupt', at: MIB }],
    // What passed through before the end had come can not be taken back; the client finds out.
    ends: ['direct', 'refused'],
    endsAtOneEndpoint: ['refused'],
    withinMs: PATIENTLY_MS
  },
  'gives a blob that is too short': {
    faults: (reference) => [{ on: 'blob', reference, does: 'lengthen', by: 1000 }],
    ends: ['direct'],
    endsAtOneEndpoint: ['refused'],
    withinMs: PATIENTLY_MS
  },
  'gives a blob that is too long': {
    faults: (reference) => [{ on: 'blob', reference, does: 'lengthen', by: -1000 }],
    ends: ['direct'],
    endsAtOneEndpoint: ['refused'],
    withinMs: PATIENTLY_MS
  },
  'says 429 to blobs alone': {
    faults: () => [{ on: 'blob', does: 'answer', status: 429, headers: TOO_MANY }],
    ends: ['direct'],
    endsAtOneEndpoint: ['refused'],
    withinMs: PATIENTLY_MS
  },
  'says nothing for a blob': {
    faults: (reference) => [{ on: 'blob', reference, does: 'hang' }],
    ends: ['direct'],
    endsAtOneEndpoint: ['refused'],
    withinMs: PATIENTLY_MS
  },
  'knows no ranges, and cuts a blob once': {
    faults: (reference) => [
      { on: 'blob', reference, does: 'cut', afterBytes: 1.5 * MIB, times: 1 },
      { on: 'blob', reference, does: 'ignore-range' }
    ],
    ends: ['mesh'],
    withinMs: QUICKLY_MS
  },
  'sends to an object store that refuses once': {
    faults: () => [
      { on: 'object', does: 'answer', status: 403, times: 1 },
      { on: 'blob', method: 'GET', does: 'redirect' }
    ],
    ends: ['mesh', 'direct'],
    endsAtOneEndpoint: ['mesh', 'refused'],
    withinMs: PATIENTLY_MS
  }
}
/** They ask for a manifest, and then for its blobs wherever that came from (containers/image#2038). */
const AT_ONE_ENDPOINT: readonly ClientName[] = ['podman', 'skopeo']

const sandbox = useSandbox()

const PROGRAMS = [...new Set(Object.values(MIRRORED_CLIENTS).flatMap(({ programs }) => [...programs]))]

describeWith([...PROGRAMS, 'docker-registry', 'openssl'], 'when the registry', () => {
  const clients = new Map<ClientName, { readonly client: MirroredClient; readonly internet: Internet }>()
  let hub: Upstream
  let node: MeshNode
  let seed: MeshNode
  let nodeAddress: string

  beforeAll(async () => {
    const authority = await Authority.create(sandbox, 'authority')
    hub = await Upstream.start(sandbox, { name: 'hub', authority, serverNames: [HUB_SERVER] })
    const clientsWay: FaultProxy = await hub.anotherWay()
    nodeAddress = await lastingAddress()
    const mirrorUrl = `http://${nodeAddress}`
    for (const name of Object.keys(MIRRORED_CLIENTS) as ClientName[]) {
      const internet = await Internet.open(sandbox, authority)
      internet.lead(HUB_SERVER, clientsWay.host)
      const options = { name, mirrorUrl, registries: [HUB], env: internet.env }
      clients.set(name, { internet, client: await MIRRORED_CLIENTS[name].create(sandbox, options) })
    }
  })

  async function stopMesh(): Promise<void> {
    await hub.proxy.mend()
    await Promise.all([node, seed].map((each) => each.stop()))
  }

  afterEach(stopMesh)

  /** A mesh that has met no fault. */
  async function startMesh(name: string): Promise<void> {
    const registries = { [HUB]: hub.settings() }
    const settings = { upstreams: { default: HUB, others: 'none', registries } }
    seed = await MeshNode.start(sandbox, { name: `${name}-seed`, role: 'seed', settings })
    const flags = ['--listen', nodeAddress]
    node = await MeshNode.start(sandbox, { name: `${name}-node`, join: [seed], seed, settings, flags })
  }

  async function pullWith(name: ClientName, reference: string, digest: Digest): Promise<{ end: End; tookMs: number }> {
    const { client, internet } = mustGet(clients, name)
    internet.visits.length = 0
    const began = performance.now()
    const digests = await client.pull(reference).catch(() => undefined)
    const tookMs = performance.now() - began
    if (digests === undefined) return { end: 'refused', tookMs }
    expect(digests, name).toContain(digest)
    await client.forget(reference)
    return { end: internet.visits.includes(HUB_SERVER) ? 'direct' : 'mesh', tookMs }
  }

  test.each(Object.entries(CASES))('%s, a pull ends well or at once', async (title, of) => {
    await quickly(of.withinMs, async (number) => {
      if (number > 0) await stopMesh()
      const name = `${title.replaceAll(/\W/g, '-')}-${number}`
      const repository = `library/${name}`
      const image = await hub.push(`${repository}:1`)
      await startMesh(name)
      const faults = of.faults(image.noiseLayer.digest)
      if (faults === 'refuses connections') await hub.proxy.stop()
      else hub.proxy.setFaults(...faults)

      const names = [...clients.keys()]
      const pulls = names.map((name) => pullWith(name, `${HUB}/${repository}:1`, image.index.digest))
      const ends = await within(2 * HANG_MS, Promise.all(pulls))
      names.forEach((name, i) => {
        const { end, tookMs } = ends[i] ?? {}
        const allowed = (AT_ONE_ENDPOINT.includes(name) && of.endsAtOneEndpoint) || of.ends
        expect(allowed, `${name} after ${tookMs} ms`).toContain(end)
      })
      return Math.max(...ends.map(({ tookMs }) => tookMs))
    })
  })
})

function mustGet<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  const value = map.get(key)
  if (value === undefined) throw new Error(`there is no ${String(key)}`)
  return value
}
