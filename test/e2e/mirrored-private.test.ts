import { beforeAll, expect, test } from 'vitest'
import { type Answer, request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/** Everybody may pull what does not begin with `private/`, and the account of the node all. */
const HUB = 'docker.io'

const sandbox = useSandbox()
let hub: Upstream
let seed: MeshNode
let node: MeshNode
let secret: BuiltImage

describeWith(['docker-registry', 'skopeo'], 'an image that its registry gives to some', () => {
  beforeAll(async () => {
    hub = await Upstream.start(sandbox, { name: 'hub', asks: 'token' })
    const settings = { upstreams: { default: HUB, registries: { [HUB]: hub.settings(hub.credentials) } } }
    seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
    node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
    secret = await hub.push('private/app:1')
  })

  const basic = (password: string) => `Basic ${Buffer.from(`${hub.account.username}:${password}`).toString('base64')}`
  const ask = (rest: string, authorization?: string, from = node): Promise<Answer> =>
    request(`${from.registryUrl}/v2/${HUB}/private/app/${rest}`, authorization ? { headers: { authorization } } : {})

  /** All that a client may ask for of the image. */
  const everything = () => {
    const { index, platforms, noiseLayer } = secret
    const manifests = ['1', index.digest, platforms[0].manifest.digest].map((reference) => `manifests/${reference}`)
    return [...manifests, `blobs/${noiseLayer.digest}`, 'tags/list', `referrers/${index.digest}`]
  }

  test('goes to a client that shows a credential which the registry takes, and to no other, also once it is here', async () => {
    for (const path of everything()) expect([path, (await ask(path)).status]).toEqual([path, 404])
    for (const path of everything()) {
      const answer = await ask(path, basic(hub.account.password))
      expect([path, answer.status]).toEqual([path, 200])
    }
    for (const authorization of [undefined, basic('wrong'), 'Bearer nonsense']) {
      for (const path of everything()) {
        const answer = await ask(path, authorization)
        expect([path, answer.status, answer.headers.get('www-authenticate')]).toEqual([path, 404, null])
      }
    }
  })

  test('is not shown by another repository of the same or of another registry', async () => {
    const { digest } = secret.noiseLayer
    for (const repository of [`${HUB}/library/nothing`, 'registry.elsewhere.test/org/app', 'team/app']) {
      const answer = await request(`${node.registryUrl}/v2/${repository}/blobs/${digest}`)
      expect([repository, answer.status]).toEqual([repository, 404])
    }
  })

  test('what everybody may pull goes to everybody, also after a restart with the registry gone', async () => {
    await hub.push('library/open:1')
    const url = () => `${node.registryUrl}/v2/library/open/manifests/1`
    expect((await request(url())).status).toBe(200)
    await node.stop()
    await node.restart()
    hub.proxy.setFaults({ does: 'cut' })
    expect((await request(url())).status).toBe(200)
    expect((await ask('manifests/1')).status).toBe(404)
    hub.proxy.setFaults()
  })
})
