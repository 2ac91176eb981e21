import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { Buildah } from '../support/clients/buildah.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { writeDockerArchive } from '../support/images/docker-archive.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith, pathOf } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const TARGETS = ['seed', 'node'] as const

const sandbox = useSandbox()
let image: BuiltImage
let seed: MeshNode
let node: MeshNode
let skopeo: Skopeo

beforeAll(async () => {
  image = await buildImage(join(sandbox.directory, 'image'), { name: 'pushed' })
  skopeo = await Skopeo.create(sandbox)
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
})

/** The node that is pushed to and the other one. */
function sides(target: (typeof TARGETS)[number]): { to: MeshNode; other: MeshNode } {
  return target === 'seed' ? { to: seed, other: node } : { to: node, other: seed }
}

/** Reads what was pushed to `to` back from `other`: by digest with all its blobs, and by tag; byte for byte. */
async function expectSameImage(to: MeshNode, other: MeshNode, name: string): Promise<void> {
  const pushed = await skopeo.inspectRaw(`${to.registryHost}/${name}:1`)
  const byDigest = await skopeo.pull(`${other.registryHost}/${name}@${digestOf(pushed)}`)
  expect(byDigest.toString()).toBe(pushed.toString())
  const byTag = await skopeo.inspectRaw(`${other.registryHost}/${name}:1`)
  expect(byTag.toString()).toBe(pushed.toString())
}

describeWith(['skopeo'], 'skopeo', () => {
  test.each(TARGETS)('pushes an image of two platforms to a %s', async (target) => {
    const { to, other } = sides(target)
    const name = `team/by-skopeo-to-${target}`
    await skopeo.push(image, `${to.registryHost}/${name}:1`)
    await expectSameImage(to, other, name)
    const manifest = await skopeo.inspectRaw(`${other.registryHost}/${name}:1`)
    expect(digestOf(manifest)).toBe(image.index.digest)
  })

  test.each(TARGETS)('pushes an image with media types of Docker to a %s', async (target) => {
    const { to, other } = sides(target)
    const name = `team/by-skopeo-docker-to-${target}`
    const docker = await buildImage(join(sandbox.directory, `docker-${target}`), { name, format: 'docker' })
    await skopeo.push(docker, `${to.registryHost}/${name}:1`)
    await expectSameImage(to, other, name)
    const manifest = await skopeo.inspectRaw(`${other.registryHost}/${name}:1`)
    expect(digestOf(manifest)).toBe(docker.index.digest)
  })
})

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'skopeo'], 'docker', () => {
  let docker: Docker

  beforeAll(async () => {
    docker = await Docker.start(sandbox)
  })

  test.each(TARGETS)('pushes to a %s', async (target) => {
    const { to, other } = sides(target)
    const name = `team/by-docker-to-${target}`
    const reference = `${to.registryHost}/${name}:1`
    await docker.load(await writeDockerArchive(image, sandbox.directory, reference))
    await docker.push(reference)
    await expectSameImage(to, other, name)
  })
})

describeWith(['podman', 'runc', 'skopeo'], 'podman', () => {
  let podman: Podman

  beforeAll(async () => {
    podman = await Podman.create(sandbox)
  })

  test.each(TARGETS)('pushes to a %s', async (target) => {
    const { to, other } = sides(target)
    const name = `team/by-podman-to-${target}`
    const reference = `${to.registryHost}/${name}:1`
    await podman.load(await writeDockerArchive(image, sandbox.directory, reference))
    await podman.push(reference)
    await expectSameImage(to, other, name)
  })
})

describeWith(['buildah', 'busybox', 'skopeo'], 'buildah', () => {
  let buildah: Buildah

  beforeAll(async () => {
    buildah = await Buildah.create(sandbox)
    await mkdir(join(sandbox.directory, 'context/bin'), { recursive: true })
    await cp(pathOf('busybox') ?? '', join(sandbox.directory, 'context/bin/busybox'))
  })

  test.each(TARGETS)('pushes what it built to a %s', async (target) => {
    const { to, other } = sides(target)
    const name = `team/by-buildah-to-${target}`
    const reference = `${to.registryHost}/${name}:1`
    await buildah.buildFromFiles(join(sandbox.directory, 'context'), ['/bin/busybox', 'echo', target], reference)
    await buildah.push(reference)
    await expectSameImage(to, other, name)
  })
})
