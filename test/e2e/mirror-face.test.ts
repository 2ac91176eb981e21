import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Containerd } from '../support/clients/containerd.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { request } from '../support/http.ts'
import { buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { DEAD_PORT } from '../support/ports.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const DEAD_REGISTRY = `localhost:${DEAD_PORT}`
const MAY_NOT = ['library/secret', 'library/absent']
const RULES = [{ repositories: 'library/open', grant: [{ anyone: true, actions: ['pull'] }] }]

const sandbox = useSandbox()
let node: MeshNode

beforeAll(async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const settings = {
    registry: { mirrorListen: '127.0.0.1:0' },
    access: { rules: RULES },
    log: { level: 'debug', format: 'json' }
  }
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
  const skopeo = await Skopeo.create(sandbox)
  for (const name of ['open', 'secret']) {
    const image = await buildImage(join(sandbox.directory, name), { name })
    await skopeo.push(image, `${seed.registryHost}/library/${name}:1`)
  }
})

/** Has a client ask the mirror, and tells with which statuses it was answered. */
async function statusesWhile(act: () => Promise<unknown>): Promise<number[]> {
  const answered = () => node.process.log.findAll(/"msg":"answered"/)
  const before = answered().length
  await act()
  return answered()
    .slice(before)
    .map((line) => (JSON.parse(line) as { status: number }).status)
}

async function expectAskedNothing(pull: (name: string) => Promise<unknown>): Promise<void> {
  expect(await statusesWhile(() => pull('open'))).toContain(200)
  const statuses = await statusesWhile(() => expect(pull('secret')).rejects.toThrow())
  expect(statuses).toContain(404)
  for (const status of [401, 403, 429]) expect(statuses).not.toContain(status)
}

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'skopeo'], 'docker', () => {
  // moby#42022: what asks it for a password gets the one for Docker Hub.
  test('pulls from the mirror what everybody may, and is never asked who it is', async () => {
    const docker = await Docker.start(sandbox, { registryMirror: node.mirrorUrl })
    await expectAskedNothing((name) => docker.pull(`${name}:1`))
  })
})

describeWith(['containerd', 'ctr', 'runc', 'skopeo'], 'containerd', () => {
  test('pulls from the mirror what everybody may, and is never asked who it is', async () => {
    const containerd = await Containerd.start(sandbox, 'mirrored')
    await containerd.useMirror('localhost:5000', node.mirrorUrl)
    await expectAskedNothing((name) => containerd.pull(`localhost:5000/library/${name}:1`))
  })
})

describeWith(['podman', 'runc', 'skopeo'], 'podman', () => {
  test('pulls from the mirror what everybody may, and is never asked who it is', async () => {
    const mirror = { prefix: DEAD_REGISTRY, mirror: new URL(node.mirrorUrl).host }
    const podman = await Podman.create(sandbox, 'podman', [mirror])
    await expectAskedNothing((name) => podman.pull(`${DEAD_REGISTRY}/library/${name}:1`))
  })
})

describeWith(['skopeo'], 'whoever asks the mirror', () => {
  test('learns nothing of what others may pull: it is as if it were not there', async () => {
    const answers = await Promise.all(
      MAY_NOT.flatMap((name) =>
        ['manifests/1', 'tags/list'].map(async (rest) => {
          const { status, body } = await request(`${node.mirrorUrl}/v2/${name}/${rest}`)
          return `${status} ${body.toString()}`
        })
      )
    )
    expect(new Set(answers).size).toBe(1)
    const { body } = await request(`${node.mirrorUrl}/v2/_catalog`)
    expect(JSON.parse(body.toString())).toEqual({ repositories: ['library/open'] })
  })

  test('pushes nothing, while the registry beside it asks who wants to', async () => {
    const push = { method: 'POST' }
    expect((await request(`${node.mirrorUrl}/v2/library/open/blobs/uploads/`, push)).status).toBe(405)
    expect((await request(`${node.registryUrl}/v2/library/open/blobs/uploads/`, push)).status).toBe(401)
  })
})
