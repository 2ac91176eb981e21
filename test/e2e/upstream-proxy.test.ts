import { digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ConnectProxy } from '../support/upstream/connect-proxy.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/* A real registry whose name the proxy alone can resolve, as in a cluster without DNS of the internet. */

const HOST = 'registry.layermesh-test.org'
const INTERNAL = 'registry.layermesh-test.internal'
const TIMEOUT_MS = 60_000
const PASSWORD = 'proxy-password-of-the-test'

const sandbox = useSandbox()

describeWith(['docker-registry', 'skopeo', 'openssl'], 'a registry behind an HTTP proxy', () => {
  let authority: Authority
  let upstream: Upstream
  let proxy: ConnectProxy

  beforeAll(async () => {
    authority = await Authority.create(sandbox, 'authority')
    upstream = await Upstream.start(sandbox, { name: 'upstream', asks: 'basic', authority, serverNames: [HOST] })
    const places = { [`${HOST}:443`]: upstream.host, [`${INTERNAL}:443`]: upstream.host }
    proxy = await ConnectProxy.start(sandbox, `mesh:${PASSWORD}`, places)
  })

  /** The registry by its name, which no settings lead to but by the proxy. */
  const registries = () => {
    const { caFile } = upstream.settings()
    return { [HOST]: { caFile, clients: 'all', ...upstream.credentials } }
  }

  const start = (name: string, upstreams: object, env: Readonly<Record<string, string>>) =>
    MeshNode.start(sandbox, {
      name,
      role: 'seed',
      settings: { upstreams, log: { level: 'trace', format: 'json' } },
      env: { NODE_EXTRA_CA_CERTS: authority.file, ...env }
    })

  const statusOf = async (node: MeshNode, image: string) =>
    (await request(`${node.registryUrl}/v2/${image}/manifests/1`)).status

  function expectNoSecretIn(node: MeshNode): void {
    const encoded = Buffer.from(`mesh:${PASSWORD}`).toString('base64')
    for (const secret of [PASSWORD, encoded]) expect(node.process.log.find(new RegExp(secret))).toBeUndefined()
  }

  test('is pulled from by HTTPS_PROXY, with the password of the proxy in no log', async () => {
    const image = await upstream.push('team/app:1')
    const node = await start('by-proxy', { registries: registries() }, { HTTPS_PROXY: proxy.url })
    const skopeo = await Skopeo.create(sandbox, 'client')
    expect(digestOf(await skopeo.inspectRaw(`${node.registryHost}/${HOST}/team/app:1`))).toBe(image.index.digest)
    await skopeo.pull(`${node.registryHost}/${HOST}/team/app:1`)
    expect(upstream.proxy.traffic.bytes({ wanted: 'blob', reference: image.noiseLayer.digest })).toBe(
      image.noiseLayer.size
    )
    expect(new Set(proxy.opened)).toEqual(new Set([`${HOST}:443`]))
    expectNoSecretIn(node)
  })

  test('is not found by a proxy that wants another password, and why is told', async () => {
    await upstream.push('team/unseen:1')
    const wrong = proxy.url.replace(PASSWORD, 'wrong-password')
    const node = await start('refused', { registries: registries() }, { HTTPS_PROXY: wrong })
    const asked = proxy.opened.length
    expect(await statusOf(node, `${HOST}/team/unseen`)).toBe(404)
    expect(proxy.refused).toBeGreaterThan(0)
    expect(proxy.opened.length).toBe(asked)
    await node.process.waitForLine(/PROXY_ANSWERED_407.*can not be reached/, TIMEOUT_MS)
    expect(node.process.log.find(/wrong-password/)).toBeUndefined()
  })

  test('is asked when nobody listed it only by a name of the internet', async () => {
    await upstream.push('team/others:1')
    const node = await start('others', { others: 'public' }, { HTTPS_PROXY: proxy.url })
    const asked = proxy.opened.length
    expect(await statusOf(node, `${INTERNAL}/team/others`)).toBe(404)
    expect(proxy.opened.length).toBe(asked)
    // It wants an account, which it could not say without being reached.
    expect(await statusOf(node, `${HOST}/team/others`)).toBe(404)
    expect(proxy.opened.slice(asked)).toContain(`${HOST}:443`)
    expectNoSecretIn(node)
  })
})
