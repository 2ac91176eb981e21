import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeNode, NOW_MS, SECRET, shown, signal } from '../testing/credential-fixture.ts'
import { FakeEcr } from '../testing/fake-ecr.ts'
import { createCredentialSource } from './create-credential-source.ts'
import { parseEcrHost } from './ecr-host.ts'

/* Sources of the protocol: testing/fake-ecr.ts; of the names: https://docs.aws.amazon.com/general/latest/gr/ecr.html */

const HOST = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
const HOUR_MS = 3_600_000

let ecr: FakeEcr

beforeEach(async () => {
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', SECRET)
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere')
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere')
  ecr = await FakeEcr.start()
  ecr.expiresAt = NOW_MS + 12 * HOUR_MS
  return () => vi.unstubAllEnvs()
})

async function open(settings = {}) {
  const node = new FakeNode()
  const source = await createCredentialSource({ ecr: { endpoint: ecr.endpoint, ...settings } }, node)
  return { node, source, get: (host = HOST) => source.get(host, 'app', signal()) }
}

describe('a registry of ECR', () => {
  it('has its password asked for, signed for the region in its name', async () => {
    const { get } = await open()
    expect(await get()).toEqual({
      credential: { kind: 'password', username: 'AWS', password: 'password 1' },
      expiresAt: NOW_MS + 12 * HOUR_MS
    })
    expect(ecr.asked).toEqual([
      {
        action: 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
        scope: expect.stringMatching(/^\d{8}\/eu-west-1\/ecr\/aws4_request$/),
        body: {}
      }
    ])
  })

  it('that is public has an API of its own', async () => {
    ecr.isPublic = true
    const { get } = await open()
    expect(await get('public.ecr.aws')).toMatchObject({ credential: { username: 'AWS', password: 'password 1' } })
    expect(ecr.asked).toMatchObject([
      {
        action: 'SpencerFrontendService.GetAuthorizationToken',
        scope: expect.stringContaining('/us-east-1/ecr-public/')
      }
    ])
  })

  it('gets a new password before the old one expires, and keeps the old one while the API fails', async () => {
    const { node, get } = await open()
    await get()
    node.nowMs += 11 * HOUR_MS
    ecr.fails = { status: 400, type: 'LimitExceededException' }
    expect(await get()).toMatchObject({ credential: { password: 'password 1' } })
    while (node.lines.length === 0) await sleep(5)
    ecr.fails = undefined
    ecr.password = 'password 2'
    ecr.expiresAt = node.nowMs + 12 * HOUR_MS
    node.nowMs += 10_000
    expect(await get()).toMatchObject({ credential: { password: 'password 1' } })
    while (ecr.asked.length < 3) await sleep(5)
    await expect.poll(() => get()).toMatchObject({ credential: { password: 'password 2' } })
  })

  it('gets a new password when the old one was refused', async () => {
    const { node, source, get } = await open()
    const given = await get()
    ecr.password = 'password 2'
    node.nowMs += 10_000
    if (given !== undefined) source.refused(given.credential)
    expect(await get()).toMatchObject({ credential: { password: 'password 2' } })
  })

  it('of another name needs the region', async () => {
    const { get } = await open()
    await expect(get('ecr.corp.example')).rejects.toThrow('set ecr.region')
    const { get: getIn } = await open({ region: 'ap-south-1' })
    await getIn('ecr.corp.example')
    expect(ecr.asked[0]?.scope).toContain('/ap-south-1/')
  })

  it('says what failed and shows no key', async () => {
    ecr.fails = { status: 400, type: 'AccessDeniedException' }
    const { node, get } = await open()
    const error = await get().catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: HOST })
    expect((error as Error).message).toContain('AccessDeniedException')
    expect(shown(error) + node.lines.join()).not.toMatch(new RegExp(`${SECRET}|AKIDEXAMPLE|AWS4-HMAC`))
  })

  it('says so when there is no identity', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', '')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', '')
    const { get } = await open()
    await expect(get()).rejects.toThrow('see which identity')
    expect(ecr.asked).toEqual([])
  })
})

it.each([
  ['123456789012.dkr.ecr.us-west-2.amazonaws.com', 'us-west-2', false],
  ['123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com', 'us-gov-west-1', true],
  ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', 'cn-north-1', false],
  ['123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu', 'eusc-de-east-1', false],
  ['123456789012.dkr-ecr.us-west-2.on.aws', 'us-west-2', false],
  ['123456789012.dkr-ecr-fips.us-west-2.on.aws', 'us-west-2', true],
  ['123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn', 'cn-north-1', false]
])('reads the name %s', (host, region, useFips) => {
  expect(parseEcrHost(host)).toEqual({ isPublic: false, region, useFips })
})

it.each([
  'docker.io',
  '123456789012.dkr.ecr.us-west-2.amazonaws.com.evil.example',
  'evil.example.123456789012.dkr.ecr.us-west-2.amazonaws.com',
  '1234.dkr.ecr.us-west-2.amazonaws.com',
  '123456789012.dkr.ecr.us-west-2.amazonaws.com:444'
])('does not take %s for a registry of ECR', (host) => {
  expect(parseEcrHost(host)).toBeUndefined()
})
