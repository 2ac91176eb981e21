import { setTimeout as sleep } from 'node:timers/promises'
import { MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { MIRRORED_CLIENTS, type MirroredClient } from '../support/clients/mirrored-clients.ts'
import { type Answer, eventually, HANG_MS, quickly, request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { pullAllPlatforms, pullImage } from '../support/images/pull-image.ts'
import { MeshNode } from '../support/node.ts'
import { lastingAddress } from '../support/ports.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Internet } from '../support/upstream/internet.ts'
import { Upstream } from '../support/upstream/upstream.ts'

const HUB = 'docker.io'
const HUB_SERVER = 'registry-1.docker.io'
/** The same registry by another name, which nodes never ask by themselves what a tag means. */
const NOT_DIRECT = 'not-direct.test'
/** What is here may be served long after anybody has confirmed it, … */
const LASTING = 'lasting'
/** … and what is here may not. */
const PASSING = 'passing'
const PASSES_MS = 3_000
const FRESHNESS = [
  { repositories: `${HUB}/${PASSING}/**`, maxAge: '1s', maxStale: `${PASSES_MS}ms` },
  { repositories: `${HUB}/**`, maxAge: '1s', maxStale: '1h' }
]
/** An answer that something can't be had has to be there by then. */
const QUICKLY_MS = 5_000

const sandbox = useSandbox()

describeWith(['docker-registry', 'skopeo', 'openssl'], 'what was pulled', () => {
  let hub: Upstream
  let internet: Internet
  let seed: MeshNode
  let node: MeshNode
  /** Has asked for the manifests and for nothing else. */
  let other: MeshNode
  let nodeAddress: string
  let lasting: BuiltImage
  let passing: BuiltImage
  const nodes = () => [seed, node, other]

  beforeAll(async () => {
    const authority = await Authority.create(sandbox, 'authority')
    internet = await Internet.open(sandbox, authority)
    hub = await Upstream.start(sandbox, { name: 'hub', authority, serverNames: [HUB_SERVER] })
    lasting = await hub.push(`${LASTING}/app:1`)
    passing = await hub.push(`${PASSING}/app:1`)
    const registries = { [HUB]: hub.settings(), [NOT_DIRECT]: hub.settings({ direct: false }) }
    const settings = { upstreams: { default: HUB, others: 'none', registries }, freshness: FRESHNESS }
    nodeAddress = await lastingAddress()
    const listen = ['--listen', nodeAddress]
    const seedMesh = `/ip4/${(await lastingAddress()).replace(':', '/tcp/')}`
    seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings, mesh: seedMesh })
    node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings, flags: listen })
    other = await MeshNode.start(sandbox, { name: 'other', join: [seed], seed, settings })
    await Promise.all([pullBoth(node), asksForManifests()])
    await hub.proxy.stop()
    await sleep(PASSES_MS + 1_000)
  })

  async function pullBoth(from: MeshNode): Promise<void> {
    await pullAllPlatforms(from.registryUrl, `${HUB}/${LASTING}/app`, '1', lasting)
    await pullAllPlatforms(from.registryUrl, `${HUB}/${PASSING}/app`, '1', passing)
  }

  async function asksForManifests(): Promise<void> {
    for (const [name, { index, platforms }] of Object.entries({ [LASTING]: lasting, [PASSING]: passing })) {
      for (const reference of ['1', index.digest, platforms[0].manifest.digest]) {
        expect((await manifest(other, name, reference)).status).toBe(200)
      }
    }
  }

  function manifest(from: MeshNode, name: string, reference: string): Promise<Answer> {
    const headers = { Accept: [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest].join(', ') }
    return request(`${from.registryUrl}/v2/${HUB}/${name}/app/manifests/${reference}`, { headers })
  }

  /** By tag as the policy says, and by digest always. */
  async function expectAsThePolicySays(from: MeshNode): Promise<void> {
    const served = await manifest(from, LASTING, '1')
    expect([served.status, served.headers.get('docker-content-digest')], from.name).toEqual([200, lasting.index.digest])
    await quickly(QUICKLY_MS, async () => {
      const { status, elapsedMs } = await manifest(from, PASSING, '1')
      expect([404, 503], from.name).toContain(status)
      return elapsedMs
    })
    expect((await manifest(from, PASSING, passing.index.digest)).status, from.name).toBe(200)
    await pullImage(from.registryUrl, `${HUB}/${LASTING}/app`, '1', lasting)
    await pullImage(from.registryUrl, `${HUB}/${PASSING}/app`, passing.index.digest, passing)
  }

  afterEach(() => {
    internet.visits.length = 0
  })

  test('is served by tag within the policy, refused beyond it, and by digest always', async () => {
    await expectAsThePolicySays(node)
  })

  test('is told to be stale by the seed, which asked the registry', async () => {
    expect((await manifest(seed, LASTING, '1')).headers.get('warning')).toMatch(/^299 - "/)
  })

  test('so also by a node that has only its manifests, which takes the rest from peers', async () => {
    await expectAsThePolicySays(other)
    expect(await other.receivedFromPeers()).toBeGreaterThan(lasting.noiseLayer.size + passing.noiseLayer.size)
  })

  describe.each(Object.entries(MIRRORED_CLIENTS))('by %s', (name, { programs, create }) => {
    describeWith(programs, 'without any other way to the registry', () => {
      let client: MirroredClient

      beforeAll(async () => {
        client = await create(sandbox, {
          name,
          mirrorUrl: `http://${nodeAddress}`,
          registries: [HUB],
          env: internet.env
        })
      })

      test('is pulled by tag within the policy, and by digest', async () => {
        expect(await client.pull(`${HUB}/${LASTING}/app:1`)).toContain(lasting.index.digest)
        expect(await client.pull(`${HUB}/${PASSING}/app@${passing.index.digest}`)).toContain(passing.index.digest)
        expect(internet.visits).toEqual([])
      })

      test('is not pulled by tag beyond the policy: the client tries the registry itself, and ends', async () => {
        await expect(client.pull(`${HUB}/${PASSING}/app:1`)).rejects.toThrow()
        expect(internet.visits).toContain(HUB_SERVER)
      })
    })
  })

  test('is served in the same way after all nodes were started again', async () => {
    for (const each of nodes()) await each.stop()
    for (const each of nodes()) await each.restart({ until: 'live' })
    for (const each of [node, other]) await expectAsThePolicySays(each)
  })

  test('is served without the seed too, and what is new is not found at once', async () => {
    await seed.kill()
    for (const each of [node, other]) {
      await expectAsThePolicySays(each)
      await eventually('it is told to be stale', HANG_MS, async () => {
        return (await manifest(each, LASTING, '1')).headers.get('warning') ?? undefined
      })
    }
    await quickly(QUICKLY_MS, async (number) => {
      const { status, elapsedMs } = await manifest(node, `unknown-${number}`, '1')
      expect([404, 503]).toContain(status)
      return elapsedMs
    })
  })

  test('comes from the registry where nodes may ask it themselves, and the policy allows nothing else', async () => {
    await hub.push(`${LASTING}/app:1`, { name: 'another' })
    const moved = await hub.push(`${PASSING}/app:1`, { name: 'another' })
    const fresh = await hub.push('library/new:1')
    await hub.proxy.mend()
    await node.stop()
    await node.restart({ until: 'live' })
    await pullImage(node.registryUrl, `${HUB}/library/new`, '1', fresh)
    await pullImage(node.registryUrl, `${HUB}/${PASSING}/app`, '1', moved)
    await pullImage(node.registryUrl, `${HUB}/${LASTING}/app`, '1', lasting)
    const { status } = await request(`${node.registryUrl}/v2/${NOT_DIRECT}/library/new/manifests/1`)
    expect(status).toBe(404)
  })

  test('is told by the seed again once that is back: the tag that moved meanwhile means another image', async () => {
    await seed.restart({ until: 'live' })
    const again = await hub.push(`${LASTING}/app:1`, { name: 'yet another' })
    for (const each of [seed, node, other]) {
      await eventually(`${each.name} gives the new one`, HANG_MS, () =>
        pullImage(each.registryUrl, `${HUB}/${LASTING}/app`, '1', again).then(
          () => true as const,
          () => undefined
        )
      )
    }
  })
})
