import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, describe, expect, test } from 'vitest'
import type { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, descriptorOf, errorCode, imageOf, putBlob, putImage, putManifest } from './support/client.ts'
import { basic, SecuredMesh } from './support/secured-mesh.ts'

const sandbox = useSandbox()
let mesh: SecuredMesh
let nodes: readonly MeshNode[]

beforeAll(async () => {
  mesh = await SecuredMesh.start(sandbox, { settings: { registry: { deletes: true } } })
  nodes = [mesh.seed.node, mesh.node.node]
})

type Role = 'anonymous' | 'alice' | 'bob' | 'carol' | 'mallory'
const ROLES: readonly Role[] = ['anonymous', 'alice', 'bob', 'carol', 'mallory']
const REPOSITORIES = ['public/app', 'ci/app', 'secret/app', 'nobodys/app'] as const

/** What the rules of {@link SecuredMesh} mean, written down once more. */
function rightsOf(role: Role, repository: string): readonly string[] {
  if (repository.startsWith('nobodys/')) return []
  if (role === 'alice') return ['pull', 'create', 'update', 'delete']
  if (repository.startsWith('public/')) return ['pull']
  if (repository.startsWith('ci/')) return role === 'carol' ? ['pull', 'create'] : []
  return role === 'bob' ? ['pull'] : []
}

const headersOf = (role: Role): Record<string, string> => (role === 'anonymous' ? {} : { Authorization: basic(role) })

/** Every verb at every endpoint of a repository, with the right that it takes. */
function requests(repository: string): readonly [method: string, path: string, right: string][] {
  const { digest, layer } = mesh.secret
  const at = (rest: string) => `/v2/${repository}/${rest}`
  const read = ['manifests/1', `manifests/${digest}`, `blobs/${layer.digest}`, 'tags/list', `referrers/${digest}`]
  return [
    ...read.flatMap((rest) => ['GET', 'HEAD'].map((method): [string, string, string] => [method, at(rest), 'pull'])),
    ['POST', at('blobs/uploads/'), 'create'],
    ['POST', at(`blobs/uploads/?mount=${layer.digest}&from=secret/app`), 'create'],
    ['POST', at(`blobs/uploads/?mount=${layer.digest}`), 'create'],
    ['POST', at(`blobs/uploads/?digest=${layer.digest}`), 'create'],
    ['PUT', at('manifests/fresh'), 'create'],
    ['PUT', at(`manifests/${digest}?tag=fresh`), 'create'],
    ['PATCH', at('blobs/uploads/AAAAAAAAAAAAAAAAAAAAAA'), 'create'],
    ['PUT', at(`blobs/uploads/AAAAAAAAAAAAAAAAAAAAAA?digest=${layer.digest}`), 'create'],
    ['GET', at('blobs/uploads/AAAAAAAAAAAAAAAAAAAAAA'), 'create'],
    ['DELETE', at('blobs/uploads/AAAAAAAAAAAAAAAAAAAAAA'), 'create'],
    ['DELETE', at('manifests/1'), 'delete'],
    ['DELETE', at(`manifests/${digest}`), 'delete'],
    ['DELETE', at(`blobs/${layer.digest}`), 'delete']
  ]
}

describe.each(ROLES)('%s', (role) => {
  test('is refused what the rules do not give, at every endpoint of each node', async () => {
    for (const node of nodes) {
      for (const repository of REPOSITORIES) {
        for (const [method, path, right] of requests(repository)) {
          if (rightsOf(role, repository).includes(right)) continue
          const what = `${method} ${path} at the ${node.name}`
          const { status, headers, body } = await ask(node, method, path, { headers: headersOf(role) })
          expect(status, what).toBe(role === 'anonymous' ? 401 : 403)
          expect(headers.has('www-authenticate'), what).toBe(role === 'anonymous')
          if (method !== 'HEAD')
            expect(errorCode({ body }), what).toBe(role === 'anonymous' ? 'UNAUTHORIZED' : 'DENIED')
          for (const name of ['docker-content-digest', 'location', 'etag']) expect(headers.has(name), what).toBe(false)
        }
      }
    }
  })

  test('is given what the rules give to read, at each node', async () => {
    for (const node of nodes) {
      for (const repository of ['public/app', 'ci/app', 'secret/app']) {
        if (!rightsOf(role, repository).includes('pull')) continue
        for (const path of ['manifests/1', 'tags/list']) {
          const { status } = await ask(node, 'GET', `/v2/${repository}/${path}`, { headers: headersOf(role) })
          expect(status, `${repository}/${path} at the ${node.name}`).toBe(200)
        }
      }
    }
  })

  test('sees in the catalogue what it may pull, and nothing else', async () => {
    for (const node of nodes) {
      const { body } = await ask(node, 'GET', '/v2/_catalog', { headers: headersOf(role) })
      const { repositories } = JSON.parse(body.toString()) as { repositories: string[] }
      const visible = ['ci/app', 'public/app', 'secret/app'].filter((name) => rightsOf(role, name).includes('pull'))
      expect(repositories, node.name).toEqual(visible)
      const next = await ask(node, 'GET', '/v2/_catalog?n=1&last=ci/app', { headers: headersOf(role) })
      expect(next.headers.get('link') ?? '').not.toContain('secret')
    }
  })
})

// CVE-2024-39897 (zot): a mount was given by what the registry had, not by what the user could read.
test('a mount takes the right to pull from the repository that it is from, at each node', async () => {
  const { digest } = mesh.secret.layer
  for (const node of nodes) {
    for (const query of [`mount=${digest}&from=secret/app`, `mount=${digest}`]) {
      const { status, headers } = await ask(node, 'POST', `/v2/ci/app/blobs/uploads/?${query}`, {
        headers: headersOf('carol')
      })
      expect([status, headers.has('docker-content-digest')], `${query} at the ${node.name}`).toEqual([202, false])
    }
    const blob = await ask(node, 'HEAD', `/v2/ci/app/blobs/${digest}`, { headers: headersOf('carol') })
    expect(blob.status).toBe(404)
    // Nor does a manifest that names it bring it in.
    const { config } = imageOf(Buffer.from('x'))
    await putBlob(node, 'ci/app', Buffer.from('{}'), headersOf('carol'))
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [mesh.secret.layer] }
    const pushed = await putManifest(node, 'ci/app', 'stolen', JSON.stringify(manifest), headersOf('carol'))
    expect(pushed.status, node.name).toBeOneOf([400, 404])
  }
})

// CVE-2026-31801 (zot): who could only create overwrote what was there.
test('who may only create moves no tag, be it by tag, by digest with ?tag=, at a seed or through a node', async () => {
  const { headers } = await ask(mesh.seed.node, 'GET', '/v2/ci/app/manifests/1', { headers: headersOf('carol') })
  const before = headers.get('docker-content-digest')
  for (const [i, node] of nodes.entries()) {
    const mine = await putImage(node, 'ci/app', `carols-${i}`, Buffer.from(`carol's ${i}`), headersOf('carol'))
    for (const reference of ['1', `${mine.digest}?tag=1`, `${mine.digest}?tag=new-${i}&tag=1`]) {
      const { status } = await putManifest(node, 'ci/app', reference, mine.manifest, headersOf('carol'))
      expect(status, `${reference} at the ${node.name}`).toBe(403)
    }
    const other = imageOf(Buffer.from(`carol's ${i}, again`))
    await putBlob(node, 'ci/app', Buffer.from(`carol's ${i}, again`), headersOf('carol'))
    expect((await putManifest(node, 'ci/app', `carols-${i}`, other.manifest, headersOf('carol'))).status).toBe(403)
    for (const asked of nodes) {
      const now = await ask(asked, 'GET', '/v2/ci/app/manifests/1', { headers: headersOf('carol') })
      expect(now.headers.get('docker-content-digest'), asked.name).toBe(before)
    }
    const tags = await ask(node, 'GET', '/v2/ci/app/tags/list', { headers: headersOf('carol') })
    expect(tags.body.toString()).not.toContain(`new-${i}`)
  }
})

test('an upload is nobody else’s, also of one who may push to the same repository', async () => {
  for (const node of nodes) {
    const started = await ask(node, 'POST', '/v2/ci/app/blobs/uploads/', { headers: headersOf('alice') })
    const location = started.headers.get('location') ?? ''
    const digest = digestOf(Buffer.from('x'))
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const body = method === 'PATCH' ? { body: 'x' } : {}
      const answer = await ask(node, method, location, { headers: headersOf('carol'), ...body })
      expect(answer.status, `${method} at the ${node.name}`).toBe(404)
    }
    const put = await ask(node, 'PUT', `${location}?digest=${digest}`, { headers: headersOf('carol'), body: 'x' })
    expect(put.status).toBe(404)
    expect((await ask(node, 'PATCH', location, { headers: headersOf('anonymous'), body: 'x' })).status).toBe(401)
    expect((await ask(node, 'GET', location, { headers: headersOf('alice') })).status).toBe(204)
  }
})

test('content that was never named in a repository is not shown there to who may read it', async () => {
  const blob = descriptorOf(MEDIA_TYPE.ociLayerGzip, Buffer.from('built once'))
  for (const node of nodes) {
    const { status } = await ask(node, 'GET', `/v2/secret/app/blobs/${blob.digest}`, { headers: headersOf('bob') })
    expect(status).toBe(404)
  }
})

test('nothing of all this has changed anything', async () => {
  for (const node of nodes) {
    const { headers } = await ask(node, 'GET', '/v2/secret/app/manifests/1', { headers: headersOf('alice') })
    expect(headers.get('docker-content-digest')).toBe(mesh.secret.digest)
    const tags = await ask(node, 'GET', '/v2/secret/app/tags/list', { headers: headersOf('alice') })
    expect(JSON.parse(tags.body.toString())).toEqual({ name: 'secret/app', tags: ['1'] })
  }
  mesh.seed.expectAlive()
  mesh.node.expectAlive()
})
