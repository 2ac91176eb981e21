import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import {
  FakeNode,
  SECRET,
  shown,
  signal,
  temporaryDirectory,
  writePrivate,
  writeProgram
} from '../testing/credential-fixture.ts'
import { KubeletPluginSource } from './kubelet-plugins.ts'

/*
 * The file: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1/
 * The plugins: https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */

const API = 'credentialprovider.kubelet.k8s.io/v1'
const SECOND_MS = 1_000

interface Response {
  readonly cacheKeyType?: string
  readonly cacheDuration?: string
  readonly auth?: object | null
  readonly apiVersion?: string
}

const auth = (key: string, username: string) => ({ [key]: { username, password: 'p' } })

const response = (given: Response) =>
  `cat > DIR/request; echo x >> DIR/asked-$(basename "$0"); echo '${JSON.stringify({
    kind: 'CredentialProviderResponse',
    apiVersion: API,
    cacheKeyType: 'Image',
    auth: null,
    ...given
  })}'`

const provider = (name: string, extra = '') =>
  `  - { name: ${name}, matchImages: ["*.example", "*.*.example"], defaultCacheDuration: 1m, apiVersion: ${API}${extra} }`

const fileOf = (...providers: string[]) =>
  `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n${providers.join('\n')}\n`

async function open(
  programs: Record<string, string>,
  config = fileOf(...Object.keys(programs).map((name) => provider(name)))
) {
  const bin = await temporaryDirectory()
  for (const [name, script] of Object.entries(programs)) await writeProgram(bin, name, script.replaceAll('DIR', bin))
  const path = join(bin, 'config.yaml')
  await writePrivate(path, config)
  const node = new FakeNode({ env: { PATH: '/usr/bin:/bin', FROM: 'node' } })
  const source = new KubeletPluginSource({ config: path, binDir: bin }, node)
  const get = async (image = 'a.example/team/app') => {
    const [, host = '', repository = ''] = /^([^/]+)\/(.+)$/.exec(image) ?? []
    return (await source.get(host, repository, signal()))?.credential
  }
  const user = async (image?: string) => {
    const credential = await get(image)
    return credential?.kind === 'password' ? credential.username : undefined
  }
  const asked = async (name: string) => (await readFile(join(bin, `asked-${name}`), 'utf8').catch(() => '')).length / 2
  return { bin, node, source, get, user, asked }
}

it('is given a CredentialProviderRequest, and its arguments and environment', async () => {
  const extra = ', args: [one, "two three"], env: [{ name: HOW, value: config }]'
  const script = `${response({ auth: auth('*.example', 'u') })}; echo "$# $2 $HOW $FROM" > DIR/called`
  const { bin, get } = await open({ plugin: script }, fileOf(provider('plugin', extra)))
  expect(await get()).toEqual({ kind: 'password', username: 'u', password: 'p' })
  expect(JSON.parse(await readFile(join(bin, 'request'), 'utf8'))).toEqual({
    apiVersion: API,
    kind: 'CredentialProviderRequest',
    image: 'a.example/team/app'
  })
  expect(await readFile(join(bin, 'called'), 'utf8')).toBe('2 two three config node\n')
})

it('is not asked for images that it does not match', async () => {
  const { get, asked } = await open({ plugin: response({ auth: auth('docker.io', 'u') }) })
  expect(await get('docker.io/library/nginx')).toBeUndefined()
  expect(await asked('plugin')).toBe(0)
})

it('has its answer kept for the image, the registry or all, as it says', async () => {
  const plans = { Image: 3, Registry: 2, Global: 1 }
  for (const [cacheKeyType, times] of Object.entries(plans)) {
    const answer = response({ cacheKeyType, auth: { ...auth('a.example', 'a'), ...auth('b.example', 'b') } })
    const { user, asked } = await open({ plugin: answer })
    const users = []
    for (const image of ['a.example/one', 'a.example/two', 'b.example/one', 'a.example/one'])
      users.push(await user(image))
    expect([users, await asked('plugin')], cacheKeyType).toEqual([['a', 'a', 'b', 'a'], times])
  }
})

it('has its answer kept as long as it says, else as long as the file says, or not at all', async () => {
  for (const [cacheDuration, ms] of [
    ['1m30s', 90 * SECOND_MS],
    [undefined, 60 * SECOND_MS]
  ] as const) {
    const given = cacheDuration === undefined ? {} : { cacheDuration }
    const { node, user, asked } = await open({ plugin: response({ ...given, auth: auth('a.example', 'u') }) })
    await user()
    node.nowMs += 0.9 * ms - 1
    await user()
    expect(await asked('plugin'), cacheDuration).toBe(1)
    node.nowMs += 0.1 * ms + 1
    await user()
    expect(await asked('plugin'), cacheDuration).toBe(2)
  }
  const { user, asked } = await open({ plugin: response({ cacheDuration: '0s', auth: auth('a.example', 'u') }) })
  await user()
  await user()
  expect(await asked('plugin')).toBe(2)
})

it('may have no credentials', async () => {
  const { get, asked } = await open({ plugin: response({ auth: null }) })
  expect([await get(), await get(), await asked('plugin')]).toEqual([undefined, undefined, 1])
})

it('prefers the narrower key, and of the same key the plugin that comes first', async () => {
  const { user } = await open({
    first: response({ auth: { ...auth('a.example', 'first'), ...auth('*.example', 'glob') } }),
    second: response({ auth: { ...auth('a.example', 'second'), ...auth('a.example/team', 'team') } })
  })
  expect(await user('a.example/team/app')).toBe('team')
  expect(await user('a.example/other')).toBe('first')
  expect(await user('b.example/other')).toBe('glob')
})

it('that fails does no harm while another one knows the image', async () => {
  const { user } = await open({ broken: 'exit 3', fine: response({ auth: auth('a.example', 'u') }) })
  expect(await user('a.example/app')).toBe('u')
  await expect(user('b.example/app')).rejects.toThrow(
    'the kubelet plugin broken failed for b.example/app (exit code 3)'
  )
})

it('is asked anew when its credential was refused', async () => {
  const { node, source, user, asked } = await open({
    plugin: response({ cacheDuration: '12h', auth: auth('a.example', 'u') })
  })
  await user()
  node.nowMs += 20 * SECOND_MS
  source.refused({ kind: 'password', username: 'u', password: 'p' })
  await user()
  expect(await asked('plugin')).toBe(2)
})

it('that wants the token of a pod is left out', async () => {
  const extra = ', tokenAttributes: { serviceAccountTokenAudience: x, cacheType: Token, requireServiceAccount: true }'
  const { node, get } = await open({ plugin: response({}) }, fileOf(provider('plugin', extra)))
  expect(await get()).toBeUndefined()
  expect(node.lines.join()).toContain('the token of a pod')
})

it.each([
  ['no response', `echo '{"kind":"Other","password":"${SECRET}"}'`],
  [
    'another version',
    response({ apiVersion: 'credentialprovider.kubelet.k8s.io/v9', auth: auth('a.example', SECRET) })
  ],
  ['a failure with secrets', `echo ${SECRET}; echo ${SECRET} >&2; exit 1`],
  ['no JSON', `echo '{"password": ${SECRET}'`],
  ['no program', '']
])('shows no secret when it gives %s', async (what, script) => {
  const { node, get } = await open(what === 'no program' ? {} : { plugin: script }, fileOf(provider('plugin')))
  const error = await get().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE', registry: 'a.example' })
  expect((error as Error).message).toContain('the kubelet plugin plugin')
  expect(shown(error) + node.lines.join()).not.toContain(SECRET)
})

it.each([
  ['another kind', fileOf(provider('plugin')).replace('CredentialProviderConfig', 'KubeletConfiguration'), 'kind'],
  ['a path for a program', fileOf(provider('../evil')), 'providers.0.name'],
  [
    'no images',
    fileOf(provider('plugin').replace(/matchImages: \[.*?\]/, 'matchImages: []')),
    'providers.0.matchImages'
  ],
  ['globs in a path', fileOf(provider('plugin').replace('"*.example"', '"a.example/*"')), 'providers.0.matchImages'],
  ['no duration', fileOf(provider('plugin').replace('1m', '1x')), 'providers.0.defaultCacheDuration'],
  ['secrets in the wrong place', fileOf(provider('plugin', `, env: { x: ${SECRET} }`)), 'providers.0.env'],
  ['the same name twice', fileOf(provider('plugin'), provider('plugin')), 'twice'],
  ['no YAML', `a: [${SECRET}`, 'no YAML']
])('refuses a file with %s, and says where', async (_, config, where) => {
  const { get } = await open({}, config)
  const error = await get().catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'CREDENTIALS_UNAVAILABLE' })
  expect((error as Error).message).toContain(where)
  expect(shown(error)).not.toContain(SECRET)
})
