import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { type PushedImage, putImage } from './support/client.ts'
import { exchange, requestBytes } from './support/raw-http.ts'

const sandbox = useSandbox()
let seed: MeshNode
let image: PushedImage

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  image = await putImage(seed, 'team/app', '1', Buffer.from('layer'))
})

async function statusOf(target: string, method = 'GET'): Promise<number | undefined> {
  return (await exchange(seed.registryUrl, requestBytes(method, target), { method }))?.status
}

/** Other spellings of a path that a proxy, a cache or a check of rights could take for another one. */
function variants(path: string): string[] {
  const [, ...parts] = path.split('/')
  const last = parts.at(-1) ?? ''
  const before = `/${parts.slice(0, -1).join('/')}`
  return [
    `/${path}`,
    path.replaceAll('/', '//'),
    `${before}//${last}`,
    path.replace('/v2/', '/v2/./'),
    path.replace('/v2/', '/v2/x/../'),
    path.replace('/v2/', '/v2/%2e/'),
    path.replace('/v2/', '/v2/x/%2e%2e/'),
    path.replace('/v2/', '/v2%2f'),
    `${before}%2f${last}`,
    `${before}%2F${last}`,
    `${before}%5c${last}`,
    `${before}\\${last}`,
    path.replace('/v2/', '/V2/'),
    path.replace('/v2/', '/v2;x=y/'),
    `${path};x=y`,
    `${path}%00`,
    `${path}%0a`,
    `${path}%20`,
    `${path}.`,
    `${path}/.`,
    `${path}/..`,
    `${path}%3fx`,
    `${path}%23x`,
    path.replace('/v2/', '/%76%32%2f'),
    path.replace('/v2/', '/v2/%252e%252e/v2/')
  ]
}

// CVE-2020-29662 (Harbor): `/v2/_catalog/` was the catalogue without its check of rights.
test('there is one way to write the path of the catalogue', async () => {
  expect(await statusOf('/v2/_catalog')).toBe(200)
  for (const target of [...variants('/v2/_catalog'), '/v2/_catalog/', '/v2/_Catalog', '/v2/_catalog/tags/list']) {
    expect(await statusOf(target), target).toBeOneOf([400, 404])
  }
})

test('there is one way to write the paths of tags, manifests and blobs', async () => {
  const { digest, layer } = image
  for (const path of ['tags/list', 'manifests/1', `manifests/${digest}`, `blobs/${layer.digest}`]) {
    expect(await statusOf(`/v2/team/app/${path}`)).toBe(200)
    for (const target of [...variants(`/v2/team/app/${path}`), `/v2/team/app/${path}/`]) {
      expect(await statusOf(target), target).toBeOneOf([400, 404])
      expect(await statusOf(target, 'HEAD'), target).toBeOneOf([400, 404])
    }
  }
})

test('names that differ in case, or by what is not in their grammar, are other names or none', async () => {
  const names = [
    'Team/app',
    'team/App',
    'team/app%20',
    'team/app.',
    'team/-app',
    'team/ａpp',
    'team/app%c0%80',
    '_team/app'
  ]
  for (const name of names) expect(await statusOf(`/v2/${name}/tags/list`), name).toBeOneOf([400, 404])
  expect(await statusOf(`/v2/${'a/'.repeat(8000)}a/tags/list`)).toBeOneOf([400, 404, 414, 431])
})

test('a whole address as target is read like its path', async () => {
  expect(await statusOf('http://elsewhere.example/v2/team/app/tags/list')).toBe(200)
  for (const target of [
    'http://elsewhere.example',
    'http://elsewhere.example/v2/../v2/_catalog',
    '*',
    'elsewhere:80'
  ]) {
    expect(await statusOf(target), target).toBeOneOf([400, 404])
  }
})

test('methods that are none are refused, also those that a proxy would act on', async () => {
  for (const method of ['TRACE', 'OPTIONS', 'PROPFIND', 'COPY', 'PURGE', 'LINK']) {
    expect(await statusOf('/v2/team/app/manifests/1', method), method).toBe(405)
  }
  const override = await exchange(
    seed.registryUrl,
    requestBytes('POST', '/v2/team/app/manifests/1', ['X-HTTP-Method-Override: DELETE', 'Content-Length: 0'])
  )
  expect(override?.status).toBe(405)
  expect(await statusOf('/v2/team/app/manifests/1')).toBe(200)
})
