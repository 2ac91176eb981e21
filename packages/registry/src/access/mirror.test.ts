import { digestOf, OciError } from '@layermesh/oci'
import { describe, expect, it } from 'vitest'
import {
  ACCESS,
  body,
  DIGEST,
  endpoints,
  MANIFEST,
  MIRRORED,
  PUBLIC,
  REQUESTS,
  send,
  startWithAccess
} from '../testing/access-fixture.ts'
import { basic, bearer } from '../testing/fake-access.ts'
import { startRegistry } from '../testing/start.ts'

describe.each([
  ['the mirror', 'mirror', '/v2/team/app'],
  ['mirrored content on the registry, by ns', 'registry', '/v2/team/closed'],
  ['mirrored content on the registry, by its path', 'registry', '/v2/docker.io/team/closed']
] as const)('%s', (_, face, base) => {
  const query = face === 'registry' && !base.includes('docker.io') ? '?ns=docker.io' : ''
  const paths = [
    `manifests/1`,
    `manifests/${digestOf(MANIFEST)}`,
    `blobs/${DIGEST}`,
    'tags/list',
    `referrers/${DIGEST}`
  ]

  it('never asks who somebody is', async () => {
    const { client } = await startWithAccess({ face })
    for (const headers of [
      {},
      basic('nobody'),
      basic('alice', 'wrong'),
      basic('flooding'),
      basic('foreign'),
      bearer('alice')
    ]) {
      for (const path of paths) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await client.send(method, `${base}/${path}${query}`, { headers })
          expect([answer.status, answer.headers['www-authenticate']]).toEqual([404, undefined])
        }
      }
    }
  })

  it('shows what is allowed to whom credentials prove', async () => {
    const { client } = await startWithAccess({ face })
    for (const path of paths) expect((await client.get(`${base}/${path}${query}`, basic('alice'))).status).toBe(200)
  })

  it.each(['UNAUTHORIZED', 'DENIED'] as const)('tells %s of the backend as unknown', async (code) => {
    const fail = () => Promise.reject(new OciError(code, 'no'))
    const { client } = await startRegistry({ access: ACCESS, face }, (backend) => ({
      blobs: { ...backend.blobs, open: fail, stat: fail },
      manifests: backend.manifests,
      tags: backend.tags,
      uploads: backend.uploads,
      catalog: (page) => backend.catalog(page)
    }))
    const answer = await client.get(`${base}/blobs/${DIGEST}${query}`, basic('alice'))
    expect([answer.status, answer.errorCode()]).toEqual([404, 'NAME_UNKNOWN'])
  })

  it('refuses writes without a challenge', async () => {
    const { client } = await startWithAccess({ face })
    for (const [method, path] of [
      ['POST', 'blobs/uploads/'],
      ['PUT', 'manifests/1'],
      ['DELETE', 'manifests/1']
    ] as const) {
      const answer = await client.send(method, `${base}/${path}${query}`, body(method))
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([face === 'mirror' ? 405 : 403, undefined])
    }
  })
})

describe('the mirror', () => {
  it('is there for all', async () => {
    const { client } = await startWithAccess({ face: 'mirror' })
    for (const headers of [{}, basic('alice', 'wrong'), basic('foreign')]) {
      expect((await client.get('/v2/', headers)).status).toBe(200)
      expect((await client.get(endpoints(PUBLIC).manifest, headers)).status).toBe(200)
      expect((await client.get('/v2/_catalog', headers)).json()).toEqual({ repositories: [MIRRORED, PUBLIC] })
    }
  })

  it('takes no pushes and no deletions, from nobody', async () => {
    for (const options of [{}, { access: undefined as never }]) {
      const { client } = await startWithAccess({ face: 'mirror', deletes: true, readOnly: false, ...options })
      for (const [method, path] of REQUESTS.filter(([verb]) => !['GET', 'HEAD'].includes(verb))) {
        expect((await send(client, method, path, basic('alice'))).status).toBe(405)
      }
    }
  })
})
