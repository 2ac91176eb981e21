import { beforeAll, expect, test } from 'vitest'
import { Containerd } from '../support/clients/containerd.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { HANG_MS, request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/** A registry that is known by this name to the node alone: what is pulled by it came through the node. */
const ELSEWHERE = 'registry.elsewhere.test'

const sandbox = useSandbox()
let hub: Upstream
let elsewhere: Upstream
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  hub = await Upstream.start(sandbox, { name: 'hub' })
  elsewhere = await Upstream.start(sandbox, { name: 'elsewhere' })
  const registries = { 'docker.io': hub.settings(), [ELSEWHERE]: elsewhere.settings() }
  const settings = { upstreams: { default: 'docker.io', registries } }
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
})

/** Has a client pull, and tells that the registry gave the image's own layer once. */
async function pullOnce(upstream: Upstream, image: BuiltImage, pull: () => Promise<unknown>): Promise<void> {
  await pull()
  const { digest: reference, size } = image.noiseLayer
  expect(upstream.proxy.traffic.bytes({ wanted: 'blob', reference })).toBe(size)
}

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'busybox', 'skopeo', 'docker-registry'], 'docker', () => {
  test('pulls an official image through registry-mirrors, which name no registry', async () => {
    const image = await hub.push('library/by-docker:1')
    const docker = await Docker.start(sandbox, { registryMirror: node.registryUrl })
    await pullOnce(hub, image, () => docker.pull('by-docker:1'))
    expect(await docker.run('by-docker:1')).toBe(image.output)
    const others = await hub.push('somebody/by-docker:1')
    await pullOnce(hub, others, () => docker.pull('somebody/by-docker:1'))
  })
})

describeWith(['containerd', 'ctr', 'runc', 'busybox', 'skopeo', 'docker-registry'], 'containerd', () => {
  test('pulls through hosts.toml and ?ns=', async () => {
    const image = await elsewhere.push('org/by-containerd:1')
    const containerd = await Containerd.start(sandbox)
    await containerd.useMirror(ELSEWHERE, node.registryUrl)
    const reference = `${ELSEWHERE}/org/by-containerd:1`
    await pullOnce(elsewhere, image, () => containerd.pull(reference))
    expect(await containerd.digestOf(reference)).toBe(image.index.digest)
    expect(await containerd.run(reference)).toBe(image.output)
  })
})

describeWith(['podman', 'runc', 'busybox', 'skopeo', 'docker-registry'], 'podman', () => {
  test('pulls through a mirror that names the registry in the path', async () => {
    const image = await elsewhere.push('org/by-podman:1')
    const mirror = `${new URL(node.registryUrl).host}/${ELSEWHERE}`
    const podman = await Podman.create(sandbox, 'podman', [{ prefix: ELSEWHERE, mirror }])
    const reference = `${ELSEWHERE}/org/by-podman:1`
    await pullOnce(elsewhere, image, () => podman.pull(reference))
    expect(await podman.run(reference)).toBe(image.output)
  })
})

describeWith(['skopeo', 'docker-registry'], 'an image that was pulled once', () => {
  test('is pulled by every node, by tag and digest, with its registry gone; what it never had is not there', async () => {
    const image = await hub.push('library/kept:1')
    const { digest } = image.index
    const at = (reference: string) => `${node.registryUrl}/v2/docker.io/library/kept/manifests/${reference}`
    expect((await request(at('1'))).status).toBe(200)
    hub.proxy.setFaults({ does: 'cut' })
    const another = await MeshNode.start(sandbox, { name: 'another', join: [seed], seed, settings: mirrorsAll() })
    for (const [url, status] of [
      [at('1'), 200],
      [at(digest), 200],
      [at('2'), 404],
      [`${another.registryUrl}/v2/library/kept/manifests/1?ns=docker.io`, 200]
    ] as const) {
      const answer = await request(url)
      expect([url, answer.status]).toEqual([url, status])
      if (status === 200) expect(answer.headers.get('docker-content-digest')).toBe(digest)
    }
    hub.proxy.setFaults()
  })

  test('moves when its registry moves the tag', async () => {
    const settings = { ...mirrorsAll(), freshness: [{ repositories: 'docker.io/**', maxAge: '1s', maxStale: '1h' }] }
    const quick = await MeshNode.start(sandbox, { name: 'quick', role: 'seed', settings })
    const first = await hub.push('library/moving:1')
    const url = `${quick.registryUrl}/v2/library/moving/manifests/1`
    const digest = async () => (await request(url)).headers.get('docker-content-digest')
    expect(await digest()).toBe(first.index.digest)
    const moved = await hub.push('library/moving:1', { name: 'another' })
    await expect.poll(digest, { timeout: HANG_MS }).toBe(moved.index.digest)
  })
})

function mirrorsAll() {
  return { upstreams: { default: 'docker.io', registries: { 'docker.io': hub.settings() } } }
}
