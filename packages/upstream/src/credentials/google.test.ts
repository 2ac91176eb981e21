import { join } from 'node:path'
import { beforeEach, expect, it, vi } from 'vitest'
import { FakeNode, SECRET, shown, signal, temporaryDirectory, writePrivate } from '../testing/credential-fixture.ts'
import { decodeJwt } from '../testing/decode-jwt.ts'
import { FakeGoogle } from '../testing/fake-google.ts'
import { createCredentialSource } from './create-credential-source.ts'
import type { GoogleSettings } from './settings.ts'

/* Sources of the protocols: testing/fake-google.ts; of the user names: https://cloud.google.com/artifact-registry/docs/docker/authentication */

const HOST = 'europe-docker.pkg.dev'

let google: FakeGoogle

beforeEach(async () => {
  google = await FakeGoogle.start()
  vi.stubEnv('GCE_METADATA_HOST', new URL(google.origin).host)
  vi.stubEnv('CLOUDSDK_CONFIG', '/nowhere')
  vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', '')
  return () => vi.unstubAllEnvs()
})

async function open(settings: GoogleSettings) {
  const node = new FakeNode()
  node.nowMs = Date.now()
  const source = await createCredentialSource({ google: settings }, node)
  return { node, source, get: () => source.get(HOST, 'project/app', signal()) }
}

async function keyFile(content = google.keyFile()): Promise<string> {
  const path = join(await temporaryDirectory(), 'key.json')
  await writePrivate(path, content)
  return path
}

it('gets a token of the metadata server', async () => {
  const { node, get } = await open({})
  const given = await get()
  expect(given?.credential).toEqual({ kind: 'password', username: 'oauth2accesstoken', password: 'token 1' })
  expect(Math.abs((given?.expiresAt ?? 0) - node.nowMs - 3_599_000)).toBeLessThan(60_000)
  await get()
  expect(google.asked.filter(({ path }) => path.endsWith('/token'))).toMatchObject([{ flavor: 'Google' }])
})

it('gets a token for the key of a service account', async () => {
  const { get } = await open({ keyFile: await keyFile(), tokenEndpoint: `${google.origin}/token` })
  expect(await get()).toMatchObject({ credential: { username: 'oauth2accesstoken', password: 'token 1' } })
  const [asked] = google.asked
  expect(asked).toMatchObject({ path: '/token', form: { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer' } })
  expect(decodeJwt(asked?.form.assertion)).toMatchObject({
    iss: 'puller@project.iam.gserviceaccount.com',
    scope: 'https://www.googleapis.com/auth/cloud-platform'
  })
})

it('gets another token when the one it gave was refused', async () => {
  const { node, source, get } = await open({})
  const given = await get()
  google.token = 'token 2'
  node.nowMs += 10_000
  if (given !== undefined) source.refused(given.credential)
  expect(await get()).toMatchObject({ credential: { password: 'token 2' } })
})

it('shows the key itself when it is told to', async () => {
  const content = google.keyFile()
  const { get } = await open({ keyFile: await keyFile(content), showKey: true })
  expect(await get()).toEqual({ credential: { kind: 'password', username: '_json_key', password: content } })
  expect(google.asked).toEqual([])
})

it('says what failed and shows no secret', async () => {
  google.fails = true
  const { node, get } = await open({ keyFile: await keyFile(), tokenEndpoint: `${google.origin}/token` })
  const error = await get().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: HOST })
  expect((error as Error).message).toContain('invalid_grant')
  expect(shown(error) + node.lines.join()).not.toMatch(new RegExp(`${SECRET}|PRIVATE KEY|eyJ`))
})

it.each([
  ['no JSON', `{"private_key": ${SECRET}`],
  ['a broken key', JSON.stringify({ type: 'service_account', private_key: SECRET, client_email: 'a@b' })],
  ['another kind of file', JSON.stringify({ type: SECRET })]
])('refuses a key file with %s, without quoting it', async (_, content) => {
  for (const showKey of [false, true]) {
    if (showKey && content.includes('"client_email"')) continue
    const { node, get } = await open({
      keyFile: await keyFile(content),
      showKey,
      tokenEndpoint: `${google.origin}/token`
    })
    const error = await get().catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
    expect(shown(error) + node.lines.join()).not.toContain(SECRET)
  }
})
