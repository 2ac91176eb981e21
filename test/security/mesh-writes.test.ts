import { PROTOCOL } from '@layermesh/mesh'
import { digestOf } from '@layermesh/oci'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { secretFile } from '../chaos/support/secret.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { HostilePeer, readSecret } from './support/hostile-peer.ts'
import { basic, SecuredMesh } from './support/secured-mesh.ts'

const sandbox = useSandbox()
let mesh: SecuredMesh
let hostile: HostilePeer

beforeAll(async () => {
  const file = await secretFile(sandbox)
  mesh = await SecuredMesh.start(sandbox, { flags: ['--secret-file', file] })
  hostile = await HostilePeer.start({ secret: await readSecret(file) })
})

afterAll(() => hostile.stop())

/** What a member of the mesh may show besides its membership. */
const CREDENTIALS: Record<string, string | undefined> = {
  nothing: undefined,
  'no words': '',
  'a wrong password': basic('alice', 'guess'),
  'somebody who may not': basic('mallory'),
  'who may only read': basic('bob'),
  'a token of its own making': `Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.x`
}

test.each(Object.keys(CREDENTIALS))('a member that shows %s neither pushes nor deletes', async (kind) => {
  const credential = CREDENTIALS[kind]
  const { digest, manifest, layer } = mesh.secret
  const repository = 'secret/app'
  const shown = credential === undefined ? {} : { credential }
  const content = { digest, mediaType: 'application/vnd.oci.image.manifest.v1+json', size: manifest.length }
  const writes = [
    { op: 'push', repository, ...content, tags: ['1'] },
    { op: 'push', repository, ...content, tags: ['another'] },
    { op: 'push', repository, ...content, tags: [] },
    { op: 'delete', repository, kind: 'tag', reference: '1' },
    { op: 'delete', repository, kind: 'manifest', reference: digest },
    { op: 'delete', repository, kind: 'blob', reference: layer.digest }
  ]
  for (const { node } of [mesh.seed, mesh.node]) {
    for (const write of writes) {
      const answer = await hostile.call(node, PROTOCOL.tag, { ...write, ...shown })
      if (answer !== undefined) expect(answer, `${JSON.stringify(write)} at the ${node.name}`).toHaveProperty('error')
    }
  }
  const headers = { Authorization: basic('alice') }
  const { body } = await ask(mesh.seed.node, 'GET', '/v2/secret/app/tags/list', { headers })
  expect(JSON.parse(body.toString()).tags).toEqual(['1'])
  const still = await ask(mesh.seed.node, 'GET', `/v2/secret/app/blobs/${layer.digest}`, { headers })
  expect(still.status).toBe(200)
})

test('a member gets no token for a password that it does not know, and is slowed down', async () => {
  const request = { op: 'authenticate', scopes: ['repository:secret/app:pull'], address: '10.0.0.1' }
  const codes = new Set<unknown>()
  for (let i = 0; i < 60; i++) {
    const answer = await hostile.call(mesh.seed.node, PROTOCOL.tag, {
      ...request,
      authorization: basic('alice', `${i}`)
    })
    if (answer === undefined) continue
    expect(answer).not.toHaveProperty('token')
    codes.add(answer.error)
  }
  expect([...codes].sort()).toEqual(['TOOMANYREQUESTS', 'UNAUTHORIZED'])
  const headers = { Authorization: basic('alice') }
  expect((await ask(mesh.seed.node, 'GET', '/v2/secret/app/tags/list', { headers })).status).toBe(200)
})

// CVE-2026-50195 (containerd): an import set tags by a way around the checks.
test('a node that is no seed signs nothing, whoever asks it', async () => {
  const answer = await hostile.call(mesh.node.node, PROTOCOL.tag, {
    op: 'push',
    repository: 'secret/app',
    digest: digestOf(mesh.secret.manifest),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    size: mesh.secret.manifest.length,
    tags: ['1'],
    credential: basic('alice')
  })
  expect(answer).toMatchObject({ error: 'DENIED' })
})
