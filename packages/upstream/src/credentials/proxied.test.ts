import { join } from 'node:path'
import { beforeEach, expect, it, vi } from 'vitest'
import { chooseProxy } from '../proxy/choose-proxy.ts'
import {
  FakeNode,
  NOW_MS,
  SECRET,
  shown,
  signal,
  temporaryDirectory,
  writePrivate
} from '../testing/credential-fixture.ts'
import { FakeAzure } from '../testing/fake-azure.ts'
import { FakeEcr } from '../testing/fake-ecr.ts'
import { FakeGoogle } from '../testing/fake-google.ts'
import { FakeProxy } from '../testing/fake-proxy.ts'
import { createCredentialSource } from './create-credential-source.ts'
import type { CredentialSettings } from './settings.ts'

/* Clouds whose names a proxy alone knows. The environment names another one, which nobody may ask. */

const CLOUD = 'cloud.example.org'
const HOST = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'

let proxy: FakeProxy

beforeEach(async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET)
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere')
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere')
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy']) vi.stubEnv(name, 'http://127.0.0.1:1')
  vi.stubEnv('NO_PROXY', '')
  proxy = await FakeProxy.start()
  return () => vi.unstubAllEnvs()
})

/** Asks a source by a proxy, or by none, that knows `place` as {@link CLOUD}. */
async function ask(settings: CredentialSettings, place: string, proxied = true) {
  const at = new URL(place).origin
  proxy.places.set(CLOUD, at).set(`${CLOUD}:80`, at)
  const common = proxied ? proxy.url.replace('//', `//me:${SECRET}@`) : 'none'
  const node = new FakeNode({ proxyFor: chooseProxy({ common, env: {} }) })
  node.nowMs = Date.now()
  const source = await createCredentialSource(settings, node)
  const given = await source.get(HOST, 'app', signal()).catch((error: unknown) => error)
  expect([shown(given), ...node.lines].join('\n')).not.toContain(SECRET)
  return given
}

async function file(content: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'file')
  await writePrivate(path, content)
  return path
}

it('asks AWS by the proxy, or by none, whatever the environment says', async () => {
  const ecr = await FakeEcr.start()
  ecr.expiresAt = NOW_MS
  const password = { credential: { username: 'AWS', password: 'password 1' } }
  expect(await ask({ ecr: { endpoint: `http://${CLOUD}` } }, ecr.endpoint)).toMatchObject(password)
  expect(proxy.asked).toEqual([`CONNECT ${CLOUD}:80`])
  expect(proxy.shown[0]).toMatch(/^Basic /)
  expect(await ask({ ecr: { endpoint: ecr.endpoint } }, ecr.endpoint, false)).toMatchObject(password)
  expect(proxy.asked).toHaveLength(1)
})

it('asks Google for the token of a key by the proxy, or by none, whatever the environment says', async () => {
  const google = await FakeGoogle.start()
  const keyFile = await file(google.keyFile())
  const token = { credential: { username: 'oauth2accesstoken', password: 'token 1' } }
  const settings = (origin: string) => ({ google: { keyFile, tokenEndpoint: `${origin}/token` } })
  expect(await ask(settings(`http://${CLOUD}`), google.origin)).toMatchObject(token)
  expect(proxy.asked).toEqual([`CONNECT ${CLOUD}:80`])
  expect(await ask(settings(google.origin), google.origin, false)).toMatchObject(token)
  expect(proxy.asked).toHaveLength(1)
})

it('asks Azure and the registry there by the proxy, and the identity of the machine by none', async () => {
  const azure = await FakeAzure.start()
  azure.expiresAt = Date.now() + 3_600_000
  const identityEndpoint = `${azure.origin}/metadata/identity/oauth2/token`
  const machine = { acr: { identityEndpoint, endpoint: `http://${CLOUD}` } }
  expect(await ask(machine, azure.origin)).toMatchObject({ credential: { kind: 'identityToken' } })
  expect(proxy.asked).toEqual([`POST http://${CLOUD}/oauth2/exchange`])
  const clientSecretFile = await file(SECRET)
  const application = { tenantId: 'tenant-1', clientId: 'app-1', clientSecretFile, authority: `http://${CLOUD}` }
  const given = await ask({ acr: { ...application, endpoint: azure.origin } }, azure.origin)
  expect(given).toMatchObject({ credential: { kind: 'identityToken' } })
  expect(proxy.asked.at(-1)).toBe(`POST http://${CLOUD}/tenant-1/oauth2/v2.0/token`)
})

it('has no credentials when the proxy refuses, and shows no secret', async () => {
  proxy.refusal = 407
  const application = {
    tenantId: 't',
    clientId: 'c',
    clientSecretFile: await file(SECRET),
    authority: `http://${CLOUD}`
  }
  for (const settings of [{ ecr: { endpoint: `http://${CLOUD}` } }, { acr: application }]) {
    const asked = proxy.asked.length
    expect(await ask(settings, proxy.url)).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
    expect(proxy.asked.length).toBeGreaterThan(asked)
  }
})
