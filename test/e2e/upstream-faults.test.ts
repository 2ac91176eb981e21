import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { Authority } from '../support/certificates.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { eventually, HANG_MS, request } from '../support/http.ts'
import type { BuiltImage } from '../support/images/image.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/*
 * What the tests of upstreams stand on: the registries of test/support/upstream do what they are told. A fault that did
 * not happen would leave tests that show nothing.
 */

const sandbox = useSandbox()

describeWith(['docker-registry', 'skopeo'], 'the fault proxy in front of docker-registry', () => {
  let upstream: Upstream
  let image: BuiltImage
  let layerUrl: string

  beforeAll(async () => {
    upstream = await Upstream.start(sandbox, { name: 'open' })
    image = await upstream.push('library/app:1', { noiseBytes: 1024 * 1024 })
    layerUrl = `${upstream.proxy.url}/v2/library/app/blobs/${image.noiseLayer.digest}`
  })

  afterEach(() => upstream.proxy.mend())

  test('gives what the registry has, and counts it', async () => {
    const { digest, size } = image.noiseLayer
    const { status, body } = await request(layerUrl)
    expect([status, digestOf(body)]).toEqual([200, digest])
    const part = await request(layerUrl, { headers: { Range: 'bytes=10-19' } })
    expect([part.status, part.body]).toEqual([206, body.subarray(10, 20)])
    await request(layerUrl, { method: 'HEAD' })
    expect(upstream.proxy.traffic.blobBytes(digest)).toBe(size + 10)
    expect(upstream.proxy.traffic.requests({ wanted: 'blob', method: 'HEAD' })).toBe(1)
    expect(upstream.proxy.traffic.exchanges.map(({ range }) => range)).toEqual([undefined, 'bytes=10-19', undefined])
  })

  test('answers in the place of the registry as often as it is told', async () => {
    const headers = { 'Retry-After': '7' }
    upstream.proxy.setFaults({ on: 'manifest', times: 1, does: 'answer', status: 429, headers })
    const manifest = () => request(`${upstream.proxy.url}/v2/library/app/manifests/1`, accept)
    const refused = await manifest()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '7'])
    expect((await manifest()).status).toBe(200)
  })

  test('cuts a body, gives wrong bytes, and other lengths than it says', async () => {
    const read = () => readSome(layerUrl)
    upstream.proxy.setFaults({ on: 'blob', does: 'cut', afterBytes: 1000 })
    expect(await read()).toMatchObject({ whole: false, bytes: { length: 1000 } })
    upstream.proxy.setFaults({ on: 'blob', does: 'corrupt', at: 5 })
    expect(digestOf((await read()).bytes)).not.toBe(image.noiseLayer.digest)
    upstream.proxy.setFaults({ on: 'blob', does: 'lengthen', by: 10 })
    expect(await read()).toMatchObject({ whole: false, said: image.noiseLayer.size + 10 })
    upstream.proxy.setFaults({ on: 'blob', does: 'ignore-range' })
    expect((await request(layerUrl, { headers: { Range: 'bytes=10-19' } })).status).toBe(200)
    upstream.proxy.setFaults({ on: 'blob', does: 'cut' })
    await expect(request(layerUrl)).rejects.toThrow()
  })

  test('hangs before the answer, or in it, until it is let go', async () => {
    const { digest } = image.noiseLayer
    upstream.proxy.setFaults({ on: 'blob', times: 1, does: 'hang' }, { on: 'blob', does: 'hang', afterBytes: 2000 })
    const reads = [readSome(layerUrl), readSome(layerUrl)]
    await upstream.proxy.hanging(2)
    expect(upstream.proxy.traffic.blobBytes()).toBe(2000)
    upstream.proxy.release()
    for (const read of reads) expect(digestOf((await read).bytes)).toBe(digest)
  })

  test('passes on so many bytes a second, in all', async () => {
    upstream.proxy.setBytesPerSecond(2 * image.noiseLayer.size)
    const began = performance.now()
    await Promise.all([request(layerUrl), request(layerUrl)])
    expect(performance.now() - began).toBeGreaterThan(900)
  })

  test('sends to an object store, which refuses who shows a credential', async () => {
    upstream.proxy.setFaults({ on: 'blob', does: 'redirect' })
    const { status, headers } = await request(layerUrl, { redirect: 'manual' })
    expect(status).toBe(307)
    const location = headers.get('location') ?? ''
    expect(new URL(location).host).not.toBe(upstream.host)
    expect(digestOf((await request(location)).body)).toBe(image.noiseLayer.digest)
    expect((await request(location, { headers: { Authorization: 'Bearer x' } })).status).toBe(400)
    expect((await request(location.replace(/=.*/, '='))).status).toBe(403)
    expect(upstream.proxy.traffic.blobBytes()).toBe(image.noiseLayer.size)
    expect(upstream.proxy.traffic.requests({ wanted: 'object' })).toBe(3)
  })

  test('refuses connections while it is stopped, and comes back at the same place', async () => {
    const { host } = upstream
    await upstream.proxy.stop()
    await expect(request(layerUrl)).rejects.toThrow()
    await upstream.proxy.start()
    expect([(await request(layerUrl)).status, upstream.host]).toEqual([200, host])
  })
})

describeWith(['docker-registry', 'skopeo', 'openssl'], 'docker-registry', () => {
  test('with Basic authentication over TLS gives to the account alone', async () => {
    const authority = await Authority.create(sandbox, 'upstream-authority')
    const upstream = await Upstream.start(sandbox, { name: 'basic', asks: 'basic', authority })
    const image = await upstream.push('team/app:1', { noiseBytes: 1024 })
    const skopeo = await Skopeo.create(sandbox, 'basic-client', await authority.clientDirectory('basic-trust'))
    await expect(skopeo.inspectRaw(`${upstream.host}/team/app:1`)).rejects.toThrow(/unauthorized|authentication/)
    await skopeo.login(upstream.host, upstream.account.username, upstream.account.password)
    expect(digestOf(await skopeo.inspectRaw(`${upstream.host}/team/app:1`))).toBe(image.index.digest)
  })

  test('with tokens gives what is public to all, the rest to the account, and no longer than a token holds', async () => {
    const upstream = await Upstream.start(sandbox, { name: 'token', asks: 'token' })
    await upstream.push('library/app:1', { noiseBytes: 1024 })
    await upstream.push('private/app:1', { noiseBytes: 1024 })
    const skopeo = await Skopeo.create(sandbox, 'token-client')
    await skopeo.pull(`${upstream.host}/library/app:1`)
    await expect(skopeo.pull(`${upstream.host}/private/app:1`)).rejects.toThrow(/denied|unauthorized|authentication/)
    await skopeo.login(upstream.host, upstream.account.username, upstream.account.password)
    await skopeo.pull(`${upstream.host}/private/app:1`)

    const newToken = async () => {
      const answer = await request(`${upstream.proxy.url}/token?scope=repository:library/app:pull`)
      return (JSON.parse(answer.body.toString()) as { token: string }).token
    }
    const statusWith = async (token: string) => {
      const headers = { ...accept.headers, Authorization: `Bearer ${token}` }
      return (await request(`${upstream.proxy.url}/v2/library/app/manifests/1`, { headers })).status
    }
    if (upstream.tokens === undefined) throw new Error('the registry has no tokens')
    upstream.tokens.lifetimeSeconds = 3_600
    const lasting = await newToken()
    upstream.tokens.lifetimeSeconds = 1
    const passing = await newToken()
    await eventually('the token expires', HANG_MS, async () => (await statusWith(passing)) === 401 || undefined)
    expect(await statusWith(lasting)).toBe(200)
  })
})

const accept = { headers: { Accept: MEDIA_TYPE.ociIndex } }

/** What comes of a body, however it ends. */
async function readSome(url: string) {
  const [response] = (await once(get(url, { agent: new Agent() }), 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  let whole = true
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch {
    whole = false
  }
  return { bytes: Buffer.concat(chunks), whole, said: Number(response.headers['content-length']) }
}
