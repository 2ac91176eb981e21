import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, errorCode, imageOf, putBlob, putImage, putManifest } from './support/client.ts'
import { exchange, requestBytes } from './support/raw-http.ts'

const HEX = 'a'.repeat(64)
/** What stands where a digest belongs. */
const NO_DIGESTS = [
  'sha256:',
  `sha256:${HEX.slice(1)}`,
  `sha256:${HEX}a`,
  `sha256:${HEX.toUpperCase()}`,
  `SHA256:${HEX}`,
  `sha512:${HEX}`,
  `md5:${'a'.repeat(32)}`,
  `sha256+b64:${HEX}`,
  `sha256:sha256:${HEX}`,
  `:${HEX}`,
  'sha256:../../../../etc/passwd',
  'sha256:..',
  `sha256:${'../'.repeat(21)}a`,
  `../sha256:${HEX}`,
  `sha256:${HEX.slice(0, 60)}/../`,
  `sha256:${HEX.slice(0, 63)}\0`,
  `sha256:${HEX}\n`,
  `constructor:${HEX}`,
  `__proto__:${HEX}`,
  `sha256:${'a'.repeat(8000)}`
]

const sandbox = useSandbox()
let seed: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  await putImage(seed, 'team/app', '1', Buffer.from('layer'))
})

// CVE-2024-3727 (containers/image): a digest that was not checked became a path and a part of another host's address.
test.each(['blobs', 'manifests', 'referrers'])('what is no digest names nothing among %s', async (kind) => {
  for (const digest of NO_DIGESTS) {
    for (const target of [encodeURIComponent(digest), encodeURI(digest), digest.replaceAll('.', '%2e')]) {
      const answer = await exchange(seed.registryUrl, requestBytes('GET', `/v2/team/app/${kind}/${target}`))
      expect(answer?.status, target).toBeOneOf([400, 404])
    }
  }
})

test('what is no digest ends no upload, mounts nothing and is told of no file', async () => {
  for (const digest of NO_DIGESTS) {
    const query = encodeURIComponent(digest)
    for (const path of [`?digest=${query}`, `?mount=${query}&from=team/app`, `?digest-algorithm=${query}`]) {
      const answer = await ask(seed, 'POST', `/v2/team/app/blobs/uploads/${path}`, { body: 'layer' })
      expect([digest, answer.status, errorCode(answer)]).toEqual([digest, 400, 'DIGEST_INVALID'])
      expect(answer.body.toString()).not.toContain(seed.dataDirectory)
    }
    const started = await ask(seed, 'POST', '/v2/team/app/blobs/uploads/')
    const ended = await ask(seed, 'PUT', `${started.headers.get('location')}?digest=${query}`, { body: 'layer' })
    expect([digest, ended.status]).toEqual([digest, 400])
  }
})

test('a manifest that names what is no digest is refused', async () => {
  const { manifest, layer } = imageOf(Buffer.from('layer'))
  for (const digest of NO_DIGESTS) {
    const answer = await putManifest(
      seed,
      'team/app',
      'x',
      manifest.toString().replace(layer.digest, JSON.stringify(digest).slice(1, -1))
    )
    expect([digest, answer.status]).toEqual([digest, 400])
  }
})

test('uploads and tags are asked for by names that lead nowhere else', async () => {
  for (const id of ['..', '../..', '%2e%2e', '..%2f..', 'a/b', '\0', 'x'.repeat(2000), '__proto__', 'constructor']) {
    const target = `/v2/team/app/blobs/uploads/${id.replaceAll('\0', '%00')}`
    for (const method of ['GET', 'DELETE', 'PATCH', 'PUT']) {
      const answer = await exchange(seed.registryUrl, requestBytes(method, target, ['Content-Length: 0']), { method })
      expect(answer?.status, `${method} ${target}`).toBeOneOf([400, 404, 405])
    }
  }
  for (const tag of ['..', '.', '-x', 'a/b', '%2e%2e', 'x'.repeat(129), 'ä', 'a%00']) {
    const answer = await exchange(seed.registryUrl, requestBytes('GET', `/v2/team/app/manifests/${tag}`))
    expect(answer?.status, tag).toBeOneOf([400, 404])
  }
})

// CVE-2014-9358, CVE-2014-8178, CVE-2014-8179 (Docker): ids as paths, content that was kept before it was verified.
test('nothing is kept outside of its place, nor before its digest was verified', async () => {
  const files = async () =>
    (await readdir(seed.dataDirectory, { recursive: true })).filter((path) => /blobs.[^/]*./.test(path))
  const before = await files()
  const other = await putBlob(seed, 'team/app', Buffer.from('other'))
  const { status } = await ask(seed, 'POST', `/v2/team/app/blobs/uploads/?digest=${other}`, { body: 'not the other' })
  expect(status).toBe(400)
  const { body } = await ask(seed, 'GET', `/v2/team/app/blobs/${other}`)
  expect(body.toString()).toBe('other')
  const wrong = imageOf(Buffer.from('wrong'))
  const refused = await putManifest(seed, 'team/app', wrong.digest, imageOf(Buffer.from('right')).manifest)
  expect(refused.status).toBe(400)
  expect((await ask(seed, 'HEAD', `/v2/team/app/manifests/${wrong.digest}`)).status).toBe(404)
  const added = (await files()).filter((path) => !before.includes(path) && !path.includes('uploads'))
  expect(added.every((path) => path.startsWith(join('content', 'blobs', 'sha256')))).toBe(true)
})

test('names of fields of every object are no repositories, tags or media types', async () => {
  for (const name of ['constructor', '__proto__', 'hasownproperty', 'tostring']) {
    for (const path of [`/v2/${name}/tags/list`, `/v2/team/app/manifests/${name}`]) {
      expect((await ask(seed, 'GET', path)).status, path).toBeOneOf([400, 404])
    }
  }
  const typed = await putManifest(seed, 'team/app', 'x', imageOf(Buffer.from('layer')).manifest, {
    'Content-Type': 'constructor'
  })
  expect(typed.status).toBe(400)
  expect(MEDIA_TYPE).not.toHaveProperty('polluted')
})
