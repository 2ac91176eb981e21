import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Buildah } from '../support/clients/buildah.ts'
import { Containerd } from '../support/clients/containerd.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { type BuiltImage, buildImage, type ImageOptions } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { DEAD_PORT } from '../support/ports.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

/** A registry that is nowhere: what is pulled by this name came from the mirror. */
const DEAD_REGISTRY = `localhost:${DEAD_PORT}`
/** The name by which users know the mesh's own images; no name server knows it. */
const OWN_REGISTRY = 'registry.mesh.test'
const FORMATS = ['oci', 'docker'] as const

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode
let skopeo: Skopeo

beforeAll(async () => {
  skopeo = await Skopeo.create(sandbox)
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const settings = { registry: { ownHosts: [OWN_REGISTRY] } }
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
})

/** Pushes an image to the seed that no node has seen before. */
async function pushToSeed(repository: string, format: ImageOptions['format'] = 'oci'): Promise<BuiltImage> {
  const image = await buildImage(join(sandbox.directory, 'images', repository), { name: repository, format })
  await skopeo.push(image, `${seed.registryHost}/${repository}:1`)
  return image
}

/** Has a client pull through the node, and tells that the node took the image's own layer from its peers. */
async function pullThroughNode(image: BuiltImage, pull: () => Promise<void>): Promise<void> {
  const before = await node.receivedFromPeers()
  await pull()
  expect((await node.receivedFromPeers()) - before).toBeGreaterThanOrEqual(image.noiseLayer.size)
}

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'busybox', 'skopeo'], 'docker', () => {
  let docker: Docker

  beforeAll(async () => {
    docker = await Docker.start(sandbox, { registryMirror: node.registryUrl })
  })

  test.each(FORMATS)('pulls by the name of its own node and runs it: %s', async (format) => {
    const image = await pushToSeed(`team/docker-by-name-${format}`, format)
    const reference = `${node.registryHost}/team/docker-by-name-${format}`
    await pullThroughNode(image, () => docker.pull(`${reference}:1`))
    expect(await docker.repositoryDigests(`${reference}:1`)).toEqual([`${reference}@${image.index.digest}`])
    expect(await docker.run(`${reference}:1`)).toBe(image.output)
  })

  test('pulls an image of the default registry through the mirror and runs it', async () => {
    const image = await pushToSeed('library/layermesh-mirrored')
    await pullThroughNode(image, () => docker.pull('layermesh-mirrored:1'))
    expect(await docker.run('layermesh-mirrored:1')).toBe(image.output)
  })
})

describeWith(['containerd', 'ctr', 'runc', 'busybox', 'skopeo'], 'containerd', () => {
  let containerd: Containerd

  beforeAll(async () => {
    containerd = await Containerd.start(sandbox)
    await containerd.useMirror(DEAD_REGISTRY, node.registryUrl)
    await containerd.useMirror(OWN_REGISTRY, node.registryUrl)
  })

  test.each(FORMATS)('pulls through hosts.toml and ?ns= and runs it: %s', async (format) => {
    const image = await pushToSeed(`team/containerd-${format}`, format)
    const reference = `${DEAD_REGISTRY}/team/containerd-${format}:1`
    await pullThroughNode(image, () => containerd.pull(reference))
    expect(await containerd.digestOf(reference)).toBe(image.index.digest)
    expect(await containerd.run(reference)).toBe(image.output)
  })

  test('pulls by digest, under a name that the node was told is the own one', async () => {
    const image = await pushToSeed('team/containerd-digest')
    const reference = `${OWN_REGISTRY}/team/containerd-digest@${image.index.digest}`
    await pullThroughNode(image, () => containerd.pull(reference))
    expect(await containerd.digestOf(reference)).toBe(image.index.digest)
  })
})

describeWith(['podman', 'runc', 'busybox', 'skopeo'], 'podman', () => {
  let podman: Podman

  beforeAll(async () => {
    const host = new URL(node.registryUrl).host
    podman = await Podman.create(sandbox, 'podman', [
      { prefix: DEAD_REGISTRY, mirror: host },
      { prefix: OWN_REGISTRY, mirror: `${host}/${OWN_REGISTRY}` }
    ])
  })

  test.each(FORMATS)('pulls through a mirror and runs it: %s', async (format) => {
    const image = await pushToSeed(`team/podman-${format}`, format)
    const reference = `${DEAD_REGISTRY}/team/podman-${format}:1`
    await pullThroughNode(image, () => podman.pull(reference))
    expect(await podman.run(reference)).toBe(image.output)
  })

  test('pulls through a mirror that names the registry in the path', async () => {
    const image = await pushToSeed('team/podman-prefix')
    const reference = `${OWN_REGISTRY}/team/podman-prefix:1`
    await pullThroughNode(image, () => podman.pull(reference))
    expect(await podman.run(reference)).toBe(image.output)
  })
})

describeWith(['buildah', 'skopeo'], 'buildah', () => {
  test('pulls by the name of its own node', async () => {
    const buildah = await Buildah.create(sandbox)
    const image = await pushToSeed('team/buildah')
    await pullThroughNode(image, () => buildah.pull(`${node.registryHost}/team/buildah:1`))
  })
})

describeWith(['skopeo'], 'skopeo', () => {
  test.each(FORMATS)('pulls all platforms, byte for byte: %s', async (format) => {
    const repository = `team/skopeo-${format}`
    const image = await pushToSeed(repository, format)
    const pushed = await image.layout.read(image.index)
    await pullThroughNode(image, async () => {
      const pulled = await skopeo.pull(`${node.registryHost}/${repository}:1`)
      expect(pulled.toString()).toBe(pushed.toString())
    })
  })
})
