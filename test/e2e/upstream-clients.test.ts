import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { MIRRORED_CLIENTS, type MirroredClient } from '../support/clients/mirrored-clients.ts'
import { request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { pullImage } from '../support/images/pull-image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Internet } from '../support/upstream/internet.ts'
import { Upstream } from '../support/upstream/upstream.ts'

const HUB = 'docker.io'
/** Where clients find it. */
const HUB_SERVER = 'registry-1.docker.io'
/** Wants an account, which the node has for all its clients. */
const BASIC = 'basic.test'
/** The same one, where the node's account is for nobody but those who have one too. */
const BASIC_OWN = 'basic-own.test'
const FORMATS = { docker: 'docker', containerd: 'oci', podman: 'docker', skopeo: 'oci' } as const
/** Of one platform; skopeo copies both. */
const PLATFORMS = { docker: 1, containerd: 1, podman: 1, skopeo: 2 } as const
const NOISE_BYTES = 2.5 * 1024 * 1024

const sandbox = useSandbox()
let authority: Authority
let internet: Internet
let hub: Upstream
let basic: Upstream
let node: MeshNode
let other: MeshNode

beforeAll(async () => {
  authority = await Authority.create(sandbox, 'authority')
  internet = await Internet.open(sandbox, authority)
  hub = await Upstream.start(sandbox, { name: 'hub', asks: 'token', authority, serverNames: [HUB_SERVER] })
  internet.lead(HUB_SERVER, hub.host)
  basic = await Upstream.start(sandbox, { name: 'basic', asks: 'basic', authority, serverNames: [BASIC] })
  const registries = {
    [HUB]: hub.settings(),
    [BASIC]: basic.settings({ ...basic.credentials, clients: 'all' }),
    [BASIC_OWN]: basic.settings(basic.credentials)
  }
  const settings = { upstreams: { default: HUB, others: 'none', registries } }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, settings })
  other = await MeshNode.start(sandbox, { name: 'other', join: [seed], seed, settings })
})

afterEach(async () => {
  await Promise.all([hub, basic].map(({ proxy }) => proxy.mend()))
  internet.visits.length = 0
})

describe.each(Object.entries(MIRRORED_CLIENTS))('%s', (kind, { programs, create, ...of }) => {
  const name = kind as keyof typeof MIRRORED_CLIENTS
  const registries = 'registries' in of ? of.registries : [HUB, BASIC]

  describeWith([...programs, 'docker-registry', 'skopeo', 'openssl'], `by ${of.way}`, () => {
    let client: MirroredClient

    beforeAll(async () => {
      client = await create(sandbox, { name, mirrorUrl: node.registryUrl, registries, env: internet.env })
    })

    test.each(registries)(
      'pulls from %s through the mesh, which takes each byte once, whoever asks after it',
      async (host) => {
        const upstream = host === HUB ? hub : basic
        const of = { name: `${name} ${host}`, format: FORMATS[name], noiseBytes: NOISE_BYTES }
        const image = await upstream.push(`library/${name}:1`, of)
        await upstream.proxy.mend()
        const reference = `${host}/library/${name}:1`

        expect(await client.pull(reference)).toContain(image.index.digest)
        expectOnce(upstream, image, PLATFORMS[name])
        await client.forget(reference)
        expect(await client.pull(reference)).toContain(image.index.digest)
        await pullImage(other.registryUrl, `${host}/library/${name}`, '1', image)
        expectOnce(upstream, image, PLATFORMS[name])
        expect(internet.visits).toEqual([])
      }
    )
  })
})

/** Upstream has given each manifest once, and each blob that no image before had. */
function expectOnce({ proxy }: Upstream, { platforms, index }: BuiltImage, count: number): void {
  const taken = platforms.slice(0, count)
  const blobs = new Map(taken.flatMap(({ config, layers }) => [config, ...layers]).map((blob) => [blob.digest, blob]))
  for (const { digest, size } of blobs.values()) {
    const given = proxy.traffic.blobBytes(digest)
    // Images share the layer with the program.
    const shared = platforms.some(({ layers: [base] }) => digest === base?.digest)
    if (given !== 0 || !shared) expect(given, digest).toBe(size)
  }
  const times = (reference: string) =>
    proxy.traffic.requests({ wanted: 'manifest', method: 'GET', status: 200, reference })
  expect(times('1') + times(index.digest)).toBe(1)
  for (const { manifest } of platforms) {
    // containerd 2 asks for the manifests of all platforms.
    if (taken.some((one) => one.manifest === manifest)) expect(times(manifest.digest), manifest.digest).toBe(1)
    else expect(times(manifest.digest), manifest.digest).toBeLessThanOrEqual(1)
  }
}

describeWith(['docker-registry', 'skopeo', 'openssl'], 'through the mesh', () => {
  const manifestStatus = async (repository: string, headers: Readonly<Record<string, string>> = {}) =>
    (await request(`${node.registryUrl}/v2/${repository}/manifests/1`, { headers })).status

  test('goes to an object store without the credential that the registry wanted', async () => {
    const image = await basic.push('library/redirected:1')
    await basic.proxy.mend()
    basic.proxy.setFaults({ on: 'blob', method: 'GET', does: 'redirect' })
    await pullImage(node.registryUrl, `${BASIC}/library/redirected`, '1', image)
    const { traffic } = basic.proxy
    expect(traffic.bytes({ wanted: 'object', reference: image.noiseLayer.digest })).toBe(image.noiseLayer.size)
    expect(traffic.bytes({ wanted: 'blob' })).toBe(0)
    expect(new Set(traffic.exchanges.filter(({ wanted }) => wanted === 'object').map(({ scheme }) => scheme))).toEqual(
      new Set([undefined])
    )
  })

  test('asks for another token when one is refused sooner than it said', async () => {
    const images = [await hub.push('library/short:1'), await hub.push('library/short:2')] as const
    await hub.proxy.mend()
    await pullImage(node.registryUrl, `${HUB}/library/short`, '1', images[0])
    const before = hub.proxy.traffic.requests({ wanted: 'token' })
    const headers = { 'WWW-Authenticate': hub.challenge }
    hub.proxy.setFaults({ on: 'manifest', times: 1, does: 'answer', status: 401, headers })
    await pullImage(node.registryUrl, `${HUB}/library/short`, '2', images[1])
    expect(hub.proxy.traffic.requests({ wanted: 'token' })).toBe(before + 1)
  })

  test('gives what is private at the registry to those alone who may have it there', async () => {
    await hub.push('private/app:1')
    await basic.push('library/own:1')
    expect(await manifestStatus('docker.io/private/app')).toBe(404)
    expect(await manifestStatus(`${BASIC_OWN}/library/own`)).toBe(404)
    const { username, password } = basic.account
    const known = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    const wrong = `Basic ${Buffer.from(`${username}:wrong`).toString('base64')}`
    expect(await manifestStatus(`${BASIC_OWN}/library/own`, { Authorization: known })).toBe(200)
    expect(await manifestStatus(`${BASIC_OWN}/library/own`, { Authorization: wrong })).toBe(404)
    expect(await manifestStatus(`${BASIC_OWN}/library/own`)).toBe(404)
    expect(await manifestStatus(`${BASIC}/library/own`)).toBe(200)
  })
})
