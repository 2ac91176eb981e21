import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, test } from 'vitest'
import { eventually, HANG_MS, within } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { pullImage, RefusedError } from '../support/images/pull-image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'
import { MIB } from './support/known-blob.ts'

/*
 * Many nodes pull one image at the same moment that nobody has but the registry. What the registry gave is counted there.
 */

const HUB = 'docker.io'
const NODES = 8
/** Starting takes CPU; more at a time would only make each slower. */
const STARTS_AT_ONCE = 4
const NOISE_BYTES = 24 * MIB
/** Slow enough for the middle of a blob to last. */
const BYTES_PER_SECOND = 8 * MIB
/** What the registry may give in all, in images. */
const ONCE = 1.05
const ONCE_WITH_A_FAULT = 1.2
const MAX_ATTEMPTS = 5
/**
 * Where a node is not run for some seconds another one takes its place. On a machine that has so many times more to do
 * than it has cores that happens each time; there it counts that they share at all, which is half of what all would take,
 * and two attempts are enough.
 */
const BUSY = 4
const SHARED = NODES / 2
const PAUSE_MS = 500

const sandbox = useSandbox()

describeWith(['docker-registry', 'skopeo'], 'a cold image', () => {
  let hub: Upstream
  let seed: MeshNode
  let nodes: MeshNode[]

  beforeAll(async () => {
    hub = await Upstream.start(sandbox, { name: 'hub' })
    const mesh = await startMesh(hub, 'one', Array<string>(NODES).fill('default'))
    seed = mesh.seed
    nodes = mesh.nodes
  })

  afterEach(() => hub.proxy.mend())

  test('comes from the registry once, however many nodes want it at one time', async () => {
    await atBest(ONCE, async (number) => {
      const image = await pushLarge(hub, `library/cold-${number}:1`)
      await everybodyPulls(nodes, image, `library/cold-${number}`)
      const manifests = hub.proxy.traffic.requests({ wanted: 'manifest', method: 'GET', status: 200 })
      return Math.max(imagesFrom(hub, image), manifests / 2)
    })
  })

  test('comes once although the registry cuts a blob in the middle, and says 429 for a moment', async () => {
    await atBest(ONCE, async (number) => {
      const image = await pushLarge(hub, `library/cut-${number}:1`)
      const on = { on: 'blob', method: 'GET', reference: image.noiseLayer.digest, times: 1 } as const
      const headers = { 'Retry-After': '2' }
      hub.proxy.setFaults(
        { ...on, does: 'cut', afterBytes: 10.5 * MIB },
        { ...on, does: 'answer', status: 429, headers },
        { ...on, does: 'cut', afterBytes: 5.5 * MIB }
      )
      await everybodyPulls(nodes, image, `library/cut-${number}`)
      return imagesFrom(hub, image)
    })
  })

  test('comes hardly more than once when the registry falls silent in the middle', async () => {
    await atBest(ONCE_WITH_A_FAULT, async (number) => {
      const image = await pushLarge(hub, `library/silent-${number}:1`)
      hangOnce(hub, image, 10.5 * MIB)
      await everybodyPulls(nodes, image, `library/silent-${number}`)
      return imagesFrom(hub, image)
    })
  })

  test('comes hardly more than once when the node that fetches it is killed in the middle', async () => {
    await atBest(ONCE_WITH_A_FAULT, async (number) => {
      const repository = `library/gateway-${number}`
      const image = await pushLarge(hub, `${repository}:1`)
      const before = await Promise.all(nodes.map(taken))
      hangOnce(hub, image, 12.5 * MIB)
      const pulls = nodes.map((node) => pullPatiently(node, repository, image))
      for (const pull of pulls) pull.catch(() => {})
      await hub.proxy.hanging(1)
      // What it has not handed on yet is lost with it, and on a busy machine that is long in coming.
      const gateway = await eventually('somebody fetches, and another one has most of that', HANG_MS, async () => {
        const now = await Promise.all(nodes.map(taken))
        const has = (from: Source) => now.findIndex((node, i) => node[from] - (before[i]?.[from] ?? 0) > 10 * MIB) + 1
        return has('peer') > 0 ? has('upstream') || undefined : undefined
      })
      await nodes[gateway - 1]?.kill()

      const others = pulls.filter((_, i) => i !== gateway - 1)
      await allEnd(others).finally(() => nodes[gateway - 1]?.restart())
      await everybodyPulls(nodes, image, repository)
      return imagesFrom(hub, image)
    })
  })

  test('comes hardly more than once when the seed is killed in the middle', async () => {
    await atBest(ONCE_WITH_A_FAULT, async (number) => {
      if (!seed.process.running) await seed.restart()
      await eventually('the seed knows all', HANG_MS, async () => {
        return (await seed.status()).peers >= nodes.length || undefined
      })
      const image = await pushLarge(hub, `library/seed-${number}:1`)
      const pulls = everybodyPulls(nodes, image, `library/seed-${number}`)
      await Promise.race([pulls, hub.proxy.traffic.reached(10 * MIB)])
      await seed.kill()
      await pulls
      return imagesFrom(hub, image)
    })
  })

  test('comes once when no seed is there from the start', async () => {
    await atBest(ONCE_WITH_A_FAULT, async (number) => {
      const image = await pushLarge(hub, `library/seedless-${number}:1`)
      await everybodyPulls(nodes, image, `library/seedless-${number}`)
      return imagesFrom(hub, image)
    })
  })
})

describeWith(['docker-registry', 'skopeo'], 'in two zones, a cold image', () => {
  test('comes from the registry once into each at the most', async () => {
    const hub = await Upstream.start(sandbox, { name: 'far-hub' })
    const { nodes } = await startMesh(hub, 'two', ['a', 'a', 'b', 'b'])
    await atBest(ONCE, async (number) => {
      const image = await pushLarge(hub, `library/zones-${number}:1`)
      await everybodyPulls(nodes, image, `library/zones-${number}`)
      return imagesFrom(hub, image) / 2
    })
  })
})

/** A seed and a node in each of these zones, all before one registry. */
async function startMesh(hub: Upstream, name: string, zones: readonly string[]) {
  const registries = { [HUB]: hub.settings() }
  const settings = { upstreams: { default: HUB, others: 'none', registries } }
  const [zone = 'default'] = zones
  const seed = await MeshNode.start(sandbox, { name: `${name}-seed`, role: 'seed', settings, flags: ['--zone', zone] })
  const nodes: MeshNode[] = []
  const start = (zone: string, i: number) =>
    MeshNode.start(sandbox, { name: `${name}-node${i}`, join: [seed], seed, settings, flags: ['--zone', zone] })
  for (let i = 0; i < zones.length; i += STARTS_AT_ONCE) {
    const some = zones.slice(i, i + STARTS_AT_ONCE)
    nodes.push(...(await Promise.all(some.map((zone, j) => start(zone, i + j + 1)))))
  }
  await eventually('all know each other', HANG_MS, async () => {
    const statuses = await Promise.all(nodes.map((node) => node.status()))
    return statuses.every(({ peers }) => peers >= nodes.length) || undefined
  })
  return { seed, nodes }
}

/** Pushes an image with one large layer, which the registry then gives slowly; counts begin. */
async function pushLarge(hub: Upstream, reference: string): Promise<BuiltImage> {
  const image = await hub.push(reference, { noiseBytes: NOISE_BYTES })
  await hub.proxy.mend()
  hub.proxy.setBytesPerSecond(BYTES_PER_SECOND)
  return image
}

async function everybodyPulls(nodes: readonly MeshNode[], image: BuiltImage, repository: string): Promise<void> {
  await allEnd(nodes.map((node) => pullPatiently(node, repository, image)))
}

/** As a client that has no other registry: a node that can't bring something in time says so, or cuts it (TypeError), and is asked again. */
async function pullPatiently(node: MeshNode, repository: string, image: BuiltImage): Promise<void> {
  const until = performance.now() + HANG_MS
  for (;;) {
    try {
      return await pullImage(node.registryUrl, `${HUB}/${repository}`, '1', image)
    } catch (error) {
      const mayCome = error instanceof RefusedError || error instanceof TypeError
      if (!mayCome || performance.now() > until) throw error
      await sleep(PAUSE_MS)
    }
  }
}

/** Waits for all, also when one fails: what goes on would count as what comes next. @throws what one of them threw */
async function allEnd(pulls: readonly Promise<void>[]): Promise<void> {
  const ends = await within(3 * HANG_MS, Promise.allSettled(pulls))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/**
 * Has one of some attempts need no more than so many images.
 * @param attempt given its number; tells what the registry gave, in images
 */
async function atBest(images: number, attempt: (number: number) => Promise<number>): Promise<void> {
  const given: number[] = []
  while (given.length < MAX_ATTEMPTS) {
    const gave = await attempt(given.length + 1)
    if (gave <= images) return
    given.push(gave)
    const [load = 0] = loadavg()
    console.error(`the registry gave ${given.join(', ')} images instead of ${images}, at load ${load}`)
    if (load > BUSY * availableParallelism() && given.length > 1 && gave < SHARED) return
  }
  throw new Error(`the registry never gave less than ${Math.min(...given)} images`)
}

/** The registry falls silent once in the middle of the large layer. */
function hangOnce({ proxy }: Upstream, { noiseLayer }: BuiltImage, afterBytes: number): void {
  proxy.setFaults({ on: 'blob', method: 'GET', reference: noiseLayer.digest, times: 1, does: 'hang', afterBytes })
}

/** What the registry gave in all, in images. */
function imagesFrom({ proxy }: Upstream, image: BuiltImage): number {
  return proxy.traffic.blobBytes() / blobBytesOf(image)
}

type Source = 'upstream' | 'peer'

/** What a node has taken from where, in bytes. */
async function taken(node: MeshNode): Promise<Readonly<Record<Source, number>>> {
  const from = (source: Source) => node.metric('layermesh_received_bytes_total', { source }).catch(() => 0)
  return { upstream: await from('upstream'), peer: await from('peer') }
}

/** Bytes of the blobs for this machine's platform: what a client takes of the image. */
function blobBytesOf({ platforms: [{ config, layers }] }: BuiltImage): number {
  return [config, ...layers].reduce((sum, { size }) => sum + size, 0)
}
