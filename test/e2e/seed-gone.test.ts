import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Docker } from '../support/clients/docker.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { eventually, HANG_MS } from '../support/http.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const sandbox = useSandbox()

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'busybox', 'skopeo'], 'when the seed was killed', () => {
  let skopeo: Skopeo
  let byTag: BuiltImage
  let byDigest: BuiltImage
  let seed: MeshNode
  let holder: MeshNode

  beforeAll(async () => {
    skopeo = await Skopeo.create(sandbox)
    byTag = await buildImage(join(sandbox.directory, 'by-tag'), { name: 'by-tag' })
    byDigest = await buildImage(join(sandbox.directory, 'by-digest'), { name: 'by-digest' })
    seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
    holder = await MeshNode.start(sandbox, { name: 'holder', join: [seed], seed })
    await skopeo.push(byTag, `${seed.registryHost}/team/by-tag:1`)
    await skopeo.push(byDigest, `${seed.registryHost}/team/by-digest:1`)
    await skopeo.pull(`${holder.registryHost}/team/by-tag:1`)
    await skopeo.pull(`${holder.registryHost}/team/by-digest:1`)
    await seed.kill()
  })

  test('a node that starts afterwards pulls by tag for docker, all bytes from peers', async () => {
    const node = await MeshNode.start(sandbox, { name: 'for-docker', join: [holder], seed })
    const docker = await Docker.start(sandbox)
    const reference = `${node.registryHost}/team/by-tag:1`
    await eventually('docker pulls', HANG_MS, () => docker.pull(reference).then(done, notYet))
    expect(await docker.run(reference)).toBe(byTag.output)
    expect(await node.receivedFromPeers()).toBeGreaterThanOrEqual(layerBytes(byTag))
  })

  test('a node that starts afterwards pulls by digest for skopeo, all bytes from peers', async () => {
    const node = await MeshNode.start(sandbox, { name: 'for-skopeo', join: [holder], seed })
    const pulled = await skopeo.pull(`${node.registryHost}/team/by-digest@${byDigest.index.digest}`)
    expect(pulled.toString()).toBe((await byDigest.layout.read(byDigest.index)).toString())
    expect(await node.receivedFromPeers()).toBeGreaterThanOrEqual(layerBytes(byDigest))
  })

  test('a node that was restarted serves its clients and its peers', async () => {
    await holder.stop()
    await holder.restart({ until: 'live' })
    const own = await skopeo.pull(`${holder.registryHost}/team/by-tag:1`)
    expect(own.toString()).toBe((await byTag.layout.read(byTag.index)).toString())
    expect(await holder.receivedFromPeers()).toBe(0)

    const node = await MeshNode.start(sandbox, { name: 'after-restart', join: [holder], seed })
    const pulled = await eventually('skopeo pulls', HANG_MS, () => {
      return skopeo.pull(`${node.registryHost}/team/by-tag:1`).catch(notYet)
    })
    expect(pulled.toString()).toBe(own.toString())
  })
})

const done = () => true as const
/** Peers have less than a second to say what a tag means, and a machine may be slow. */
const notYet = () => undefined

/** The layers that a client of this machine's platform needs, in bytes. */
function layerBytes({ platforms: [own] }: BuiltImage): number {
  return own.layers.reduce((sum, { size }) => sum + size, 0)
}
