import { join } from 'node:path'
import { digestOf } from '@layermesh/oci'
import { beforeAll, describe, expect, test } from 'vitest'
import { Skopeo } from '../support/clients/skopeo.ts'
import { quickly, request } from '../support/http.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { MeshNode, type NodeOptions } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const MAX_ANSWER_MS = 1_000

/** Paths of what nobody has, as the clients ask for it: `N` is another one each time; `known` is a repository that exists. */
const NOBODY_HAS = [
  ['a tag of a repository that nobody knows', '/v2/team/nothingN/manifests/1'],
  ['a tag of a repository that exists', '/v2/team/known/manifests/nothingN'],
  ['a manifest by digest', '/v2/team/known/manifests/DIGEST'],
  ['a blob', '/v2/team/known/blobs/DIGEST'],
  ['a blob of a repository that nobody knows', '/v2/team/nothingN/blobs/DIGEST'],
  ['a tag of another registry', '/v2/library/nothingN/manifests/1?ns=docker.io'],
  ['a manifest of another registry by digest', '/v2/library/nothingN/manifests/DIGEST?ns=docker.io'],
  ['a blob of another registry', '/v2/library/nothingN/blobs/DIGEST?ns=docker.io'],
  ['a tag of another registry, named in the path', '/v2/docker.io/library/nothingN/manifests/1'],
  ['a tag of the default registry', '/v2/library/nothingN/manifests/1']
] as const

const sandbox = useSandbox()
let meshes = 0

interface Mesh {
  readonly seed: MeshNode
  readonly other: MeshNode
  /** The one that clients ask. */
  readonly node: MeshNode
}

async function startMesh(): Promise<Mesh> {
  meshes += 1
  const start = (name: string, options: Partial<NodeOptions>) =>
    MeshNode.start(sandbox, { name: `${name}-${meshes}`, settings: { pull: {} }, ...options })
  const seed = await start('seed', { role: 'seed' })
  const other = await start('other', { join: [seed], seed })
  const node = await start('node', { join: [seed, other], seed })
  return { seed, other, node }
}

async function expectQuickNotFound(node: MeshNode, path: string): Promise<void> {
  await quickly(MAX_ANSWER_MS, async (number) => {
    const another = path.replace('N', `${number}`).replace('DIGEST', digestOf(Buffer.from(`nobody has ${number}`)))
    const { status, body, elapsedMs } = await request(`${node.registryUrl}${another}`)
    expect(status, body.toString()).toBe(404)
    return elapsedMs
  })
}

describe('with every node alive', () => {
  let mesh: Mesh

  beforeAll(async () => {
    mesh = await startMesh()
  })

  test.each(NOBODY_HAS)('is not found within a second: %s', (_, path) => expectQuickNotFound(mesh.node, path))
})

describeWith(['skopeo'], 'with every other node dead', () => {
  let skopeo: Skopeo
  let image: BuiltImage
  let node: MeshNode

  beforeAll(async () => {
    const mesh = await startMesh()
    node = mesh.node
    skopeo = await Skopeo.create(sandbox)
    image = await buildImage(join(sandbox.directory, 'image'), { name: 'known' })
    await skopeo.push(image, `${mesh.seed.registryHost}/team/known:1`)
    await skopeo.pull(`${node.registryHost}/team/known:1`)
    await Promise.all([mesh.seed.kill(), mesh.other.kill()])
  })

  test('what is here is served by tag', async () => {
    const pulled = await skopeo.pull(`${node.registryHost}/team/known:1`)
    expect(digestOf(pulled)).toBe(image.index.digest)
  })

  test('what is here is served by digest', async () => {
    const pulled = await skopeo.pull(`${node.registryHost}/team/known@${image.index.digest}`)
    expect(digestOf(pulled)).toBe(image.index.digest)
  })

  test.each(NOBODY_HAS)('is not found within a second: %s', (_, path) => expectQuickNotFound(node, path))
})
