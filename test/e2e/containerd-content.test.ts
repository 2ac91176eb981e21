import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, parseManifest, referencedDescriptors } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { Containerd } from '../support/clients/containerd.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeUnless, describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { DockerRegistry, whyNoDockerRegistry } from '../support/upstream/docker-registry.ts'

/** The registry as the mesh names it: loopback addresses name the mesh's own. */
const UPSTREAM = 'registry.test'

const missing = await whyNoDockerRegistry()
const sandbox = useSandbox()

describeUnless(missing, 'with a registry', () => {
  describeWith(['containerd', 'ctr', 'skopeo', 'runc', 'busybox'], 'what containerd pulled', () => {
    let image: BuiltImage
    let containerd: Containerd
    let host: string
    let sharing: MeshNode
    let other: MeshNode

    beforeAll(async () => {
      const registry = await DockerRegistry.start(sandbox, await sandbox.makeDirectory('registry'))
      host = new URL(registry.url).host
      const skopeo = await Skopeo.create(sandbox)
      image = await buildImage(join(sandbox.directory, 'image'), { name: 'shared' })
      await skopeo.push(image, `${host}/team/shared:1`)
      containerd = await Containerd.start(sandbox)
      await containerd.pullWith(['--plain-http'], `${host}/team/shared:1`)

      const upstreams = { registries: { [UPSTREAM]: { url: registry.url } } }
      const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
      const store = { containerd: containerd.contentDirectory }
      const common = { join: [seed], seed }
      sharing = await MeshNode.start(sandbox, { ...common, name: 'sharing', settings: { upstreams, store } })
      other = await MeshNode.start(sandbox, { ...common, name: 'other', settings: { upstreams } })
      await eventually(
        'the node knows what containerd has',
        HANG_MS,
        async () => sandbox.logs().includes('giving what containerd has to other nodes') || undefined
      )
      // Manifests come from the registry; then it is gone.
      for (const node of [sharing, other]) await fetchManifests(node)
      await registry.stop()
    })

    async function get(node: MeshNode, path: string): Promise<Buffer> {
      const { status, body } = await request(`${node.registryUrl}/v2/team/shared/${path}?ns=${UPSTREAM}`)
      expect(status, path).toBe(200)
      return body
    }

    async function fetchManifests(node: MeshNode): Promise<void> {
      await get(node, 'manifests/1')
      await get(node, `manifests/${image.platforms[0].manifest.digest}`)
    }

    async function parts() {
      const manifest = parseManifest(await image.layout.read(image.platforms[0].manifest))
      return referencedDescriptors(manifest)
    }

    test('is had by another node, without the registry and without a copy on the way', async () => {
      const before = await other.receivedFromPeers()
      let size = 0
      for (const part of await parts()) {
        expect(digestOf(await get(other, `blobs/${part.digest}`))).toBe(part.digest)
        size += part.size
      }
      expect((await other.receivedFromPeers()) - before).toBeGreaterThanOrEqual(size)
      expect((await sharing.status()).store.bytes).toBeLessThan(size / 10)
    })

    test('is served to clients of its own node from where it lies', async () => {
      const received = await sharing.receivedFromPeers()
      for (const part of await parts()) {
        expect(digestOf(await get(sharing, `blobs/${part.digest}`))).toBe(part.digest)
      }
      expect(await sharing.receivedFromPeers()).toBe(received)
      expect((await sharing.status()).store.bytes).toBeLessThan(image.noiseLayer.size / 10)
    })

    test('is left as it is', async () => {
      const files = await readdir(join(containerd.contentDirectory, 'blobs', 'sha256'))
      expect(files).toContain(image.noiseLayer.digest.slice('sha256:'.length))
      expect(await containerd.run(`${host}/team/shared:1`)).toBe(image.output)
    })
  })
})
