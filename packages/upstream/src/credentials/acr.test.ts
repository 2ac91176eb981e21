import { join } from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import {
  FakeNode,
  NOW_MS,
  SECRET,
  shown,
  signal,
  temporaryDirectory,
  writePrivate
} from '../testing/credential-fixture.ts'
import { decodeJwt } from '../testing/decode-jwt.ts'
import { FakeAzure } from '../testing/fake-azure.ts'
import { createCredentialSource } from './create-credential-source.ts'
import type { AcrSettings } from './settings.ts'

/* Sources of the protocols: testing/fake-azure.ts; of the environment: https://azure.github.io/azure-workload-identity/docs/ */

const HOST = 'mine.azurecr.io'
const EXPIRES_AT = NOW_MS + 3 * 3_600_000

let azure: FakeAzure

beforeEach(async () => {
  azure = await FakeAzure.start()
  azure.expiresAt = EXPIRES_AT
})

async function open(settings: AcrSettings, env: Record<string, string> = {}) {
  const node = new FakeNode({ env })
  const places = {
    endpoint: azure.origin,
    authority: azure.origin,
    identityEndpoint: `${azure.origin}/metadata/identity/oauth2/token`
  }
  const source = await createCredentialSource({ acr: { ...places, ...settings } }, node)
  return { node, get: () => source.get(HOST, 'app', signal()) }
}

async function file(content: string): Promise<string> {
  const path = join(await temporaryDirectory(), 'file')
  await writePrivate(path, content)
  return path
}

it('exchanges the token of the machine for a refresh token of the registry', async () => {
  const { get } = await open({ clientId: 'app-1' })
  const given = await get()
  expect(given).toMatchObject({ credential: { kind: 'identityToken' }, expiresAt: EXPIRES_AT })
  expect(decodeJwt(given?.credential.kind === 'identityToken' ? given.credential.token : '')).toMatchObject({
    of: 'machine'
  })
  await get()
  expect(azure.asked).toEqual([
    {
      path: '/metadata/identity/oauth2/token',
      query: { 'api-version': '2018-02-01', resource: 'https://management.azure.com/', client_id: 'app-1' },
      form: {}
    },
    {
      path: '/oauth2/exchange',
      query: {},
      form: { grant_type: 'access_token', service: HOST, access_token: 'machine' }
    }
  ])
})

it('proves by its secret that it is an application', async () => {
  const clientSecretFile = await file(`${SECRET}\n`)
  const { get } = await open({ clientSecretFile, tenantId: 'tenant-1', clientId: 'app-1' })
  await get()
  expect(azure.asked).toMatchObject([
    {
      path: '/tenant-1/oauth2/v2.0/token',
      form: {
        grant_type: 'client_credentials',
        client_id: 'app-1',
        client_secret: SECRET,
        scope: 'https://management.azure.com/.default'
      }
    },
    { path: '/oauth2/exchange', form: { access_token: 'application', tenant: 'tenant-1' } }
  ])
})

it('proves by the token that Kubernetes gives it that it is a workload', async () => {
  const { get } = await open(
    { resource: 'https://containerregistry.azure.net' },
    { AZURE_FEDERATED_TOKEN_FILE: await file('federated'), AZURE_TENANT_ID: 'tenant-1', AZURE_CLIENT_ID: 'app-1' }
  )
  expect(await get()).toMatchObject({ credential: { kind: 'identityToken' } })
  expect(azure.asked[0]?.form).toEqual({
    grant_type: 'client_credentials',
    client_id: 'app-1',
    client_assertion: 'federated',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    scope: 'https://containerregistry.azure.net/.default'
  })
})

it.each([
  ['entra', 'status 401, invalid_client, AADSTS7000215'],
  ['exchange', 'gave no refresh token (status 401)']
] as const)('says what failed at the %s and shows no secret', async (fails, message) => {
  azure.fails = fails
  const { node, get } = await open({ clientSecretFile: await file(SECRET), tenantId: 'tenant-1', clientId: 'app-1' })
  const error = await get().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: HOST })
  expect((error as Error).message).toContain(message)
  expect(shown(error) + node.lines.join()).not.toMatch(new RegExp(`${SECRET}|application`))
})

it('says what is not set, and that nobody is there', async () => {
  const { get } = await open({ clientSecretFile: await file(SECRET) })
  await expect(get()).rejects.toThrow('acr.tenantId and acr.clientId are not set')
  const { get: getNowhere } = await open({ identityEndpoint: 'http://127.0.0.1:1/token' })
  await expect(getNowhere()).rejects.toThrow(
    'the managed identity endpoint at 127.0.0.1:1 can not be asked (ECONNREFUSED)'
  )
})
