import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { type Answer, request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { attachArtifact, Signer } from '../support/images/signatures.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Internet } from '../support/upstream/internet.ts'
import { Upstream } from '../support/upstream/upstream.ts'

const HUB = 'docker.io'
const SIGNED = 'library/signed'
const UNSIGNED = 'library/unsigned'
const ARTIFACT_TYPE = 'application/vnd.example.bill'
const BILL = Buffer.from('what is in this image')

const sandbox = useSandbox()
const signer = new Signer()

describeWith(['docker-registry', 'skopeo', 'openssl'], 'what belongs to an image', () => {
  let hub: Upstream
  /** Leads nowhere: whatever comes, comes through the mesh. */
  let internet: Internet
  let node: MeshNode
  let image: BuiltImage
  let unsigned: BuiltImage
  let signatureTag: string
  let bill: Digest

  beforeAll(async () => {
    internet = await Internet.open(sandbox, await Authority.create(sandbox, 'authority'))
    hub = await Upstream.start(sandbox, { name: 'hub' })
    image = await hub.push(`${SIGNED}:1`)
    unsigned = await hub.push(`${UNSIGNED}:1`)
    const openUrl = `http://${hub.openHost}`
    for (const { digest } of [image.index, ...image.platforms.map(({ manifest }) => manifest)]) {
      signatureTag = await signer.sign(openUrl, SIGNED, `${HUB}/${SIGNED}`, digest)
    }
    bill = await attachArtifact(openUrl, SIGNED, image.index, ARTIFACT_TYPE, BILL)
    const settings = { upstreams: { default: HUB, others: 'none', registries: { [HUB]: hub.settings() } } }
    const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
    node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
  })

  function get(path: string): Promise<Answer> {
    return request(`${node.registryUrl}/v2/${HUB}/${SIGNED}/${path}`, { headers: { Accept: '*/*' } })
  }

  test('is listed as its referrers, of one type too, and comes by its digest', async () => {
    for (const query of ['', `?artifactType=${ARTIFACT_TYPE}`]) {
      const { status, body } = await get(`referrers/${image.index.digest}${query}`)
      expect(status).toBe(200)
      expect(JSON.parse(body.toString())).toMatchObject({ manifests: [{ digest: bill, artifactType: ARTIFACT_TYPE }] })
    }
    const none = await get(`referrers/${image.index.digest}?artifactType=application/x`)
    expect(JSON.parse(none.body.toString())).toMatchObject({ manifests: [] })
    const { body } = await get(`manifests/${bill}`)
    expect(digestOf(body)).toBe(bill)
    const { layers } = JSON.parse(body.toString()) as { layers: [{ digest: string }] }
    expect((await get(`blobs/${layers[0].digest}`)).body).toEqual(BILL)
  })

  test('is found under the fallback tag by clients that know no referrers API', async () => {
    const { status, body } = await get(`manifests/${image.index.digest.replace(':', '-')}`)
    expect([status, JSON.parse(body.toString())]).toMatchObject([200, { manifests: [{ digest: bill }] }])
  })

  test('is copied by skopeo, byte for byte', async () => {
    const mirror = { prefix: HUB, mirror: `${new URL(node.registryUrl).host}/${HUB}` }
    const skopeo = await Skopeo.withMirrors(sandbox, 'copying', [mirror], internet.env)
    const copied = await skopeo.pull(`${HUB}/${SIGNED}:${signatureTag}`)
    const headers = { Accept: MEDIA_TYPE.ociManifest }
    const { body } = await request(`http://${hub.openHost}/v2/${SIGNED}/manifests/${signatureTag}`, { headers })
    expect(copied.toString()).toBe(body.toString())
    expect(internet.visits).toEqual([])
  })

  test('is a signature that holds for its own image and for no other one', async () => {
    const repository = `${HUB}/${SIGNED}`
    await signer.verify(node.registryUrl, repository, image.index.digest)
    await signer.verify(node.registryUrl, repository, image.platforms[0].manifest.digest)
    await expect(new Signer().verify(node.registryUrl, repository, image.index.digest)).rejects.toThrow(/wrong/)
    await expect(signer.verify(node.registryUrl, `${HUB}/${UNSIGNED}`, unsigned.index.digest)).rejects.toThrow(/404/)
  })
})
