import { describe, expect, it } from 'vitest'
import { ALL, endpoints, PRIVATE, PUBLIC, REQUESTS, send, startWithAccess } from '../testing/access-fixture.ts'
import { basic, bearer } from '../testing/fake-access.ts'

const { manifest } = endpoints(PRIVATE)

describe.each(REQUESTS)('%s %s', (method, path, users, scope, withRight) => {
  it('asks strangers who they are, for just this repository', async () => {
    const { client, events } = await startWithAccess()
    const answer = await send(client, method, path, { host: 'registry.example' })
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe(
      `Bearer realm="http://registry.example/auth/token",scope="team/app:${scope}"`
    )
    if (method !== 'HEAD') expect(answer.errorCode()).toBe('UNAUTHORIZED')
    else expect(Number(answer.headers['content-length'])).toBeGreaterThan(0)
    expect(events).toEqual([])
  })

  it('is done for whoever has the right', async () => {
    for (const user of [...users, 'alice']) {
      const { client } = await startWithAccess()
      expect((await send(client, method, path, basic(user))).status).toBe(withRight)
    }
  })

  it('is refused to everybody else, without a challenge', async () => {
    for (const user of ['puller', 'creator', 'updater', 'deleter', 'nobody'].filter((name) => !users.includes(name))) {
      const { client, events } = await startWithAccess()
      const answer = await send(client, method, path, basic(user))
      expect([user, answer.status, answer.headers['www-authenticate']]).toEqual([user, 403, undefined])
      if (method !== 'HEAD') expect(answer.errorCode()).toBe('DENIED')
      expect(events).toEqual([])
    }
  })

  it('wants a token that covers it', async () => {
    const { client } = await startWithAccess()
    const narrow = await send(client, method, path, bearer('alice'))
    expect([narrow.status, narrow.headers['www-authenticate']]).toEqual([
      401,
      expect.stringContaining(`scope="team/app:${scope}",error="insufficient_scope"`)
    ])
    expect((await send(client, method, path, bearer('alice', ...ALL))).status).toBe(withRight)
  })

  it('is refused with a wrong password, also where everybody may pull', async () => {
    const { client } = await startWithAccess()
    for (const place of [path, path.replace(PRIVATE, PUBLIC)]) {
      const answer = await send(client, method, place, basic('alice', 'wrong'))
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([
        401,
        expect.stringMatching(/^Bearer realm=/)
      ])
    }
  })
})

describe('the base', () => {
  it('asks strangers who they are, and nobody else', async () => {
    const { client } = await startWithAccess()
    for (const path of ['/v2/', '/v2', '/v2/?x=y', '/v2/?ns=localhost:5000']) {
      const answer = await client.get(path, { host: 'registry.example' })
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([
        401,
        'Bearer realm="http://registry.example/auth/token"'
      ])
      expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0')
      expect((await client.head(path)).headers).toHaveProperty('www-authenticate')
      expect((await client.get(path, basic('nobody'))).status).toBe(200)
      expect((await client.get(path, bearer(''))).status).toBe(200)
      expect((await client.get(path, basic('alice', 'wrong'))).status).toBe(401)
    }
  })

  it('tells that a token is wrong', async () => {
    const { client } = await startWithAccess()
    const answer = await client.get('/v2/', { authorization: 'Bearer nonsense' })
    expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
  })

  it('sends those who guess too much away', async () => {
    const { client } = await startWithAccess()
    for (const path of ['/v2/', manifest]) {
      const answer = await client.get(path, basic('flooding'))
      expect([answer.status, answer.headers['retry-after']]).toEqual([429, '12'])
    }
  })
})

describe('a path', () => {
  it.each([
    '/v2/team/app/manifests/1/',
    '/v2//team/app/manifests/1',
    '/v2/team//app/manifests/1',
    '/v2/team%2Fapp/manifests/1',
    '/v2/open/app/../../team/app/manifests/1',
    '/v2/open/app/%2e%2e/%2e%2e/team/app/manifests/1',
    '/v2/team/app/manifests/1;x',
    '/v2/team/app/manifests/1%00',
    '/V2/team/app/manifests/1',
    '/v2/Team/app/manifests/1',
    '//v2/team/app/manifests/1',
    '/v2/team\\app/manifests/1',
    '/./v2/team/app/manifests/1',
    '/v2/_catalog/'
  ])('that is no other way to write one, as %s, shows nothing', async (path) => {
    const { client } = await startWithAccess()
    for (const headers of [{}, basic('nobody')]) {
      expect([400, 404]).toContain((await client.get(path, headers)).status)
    }
  })

  it.each([
    '/v2/%74eam/app/manifests/1',
    '/v2/localhost:5000/team/app/manifests/1',
    '/v2/registry.example/team/app/manifests/1',
    '/v2/team/app/manifests/1?ns=localhost:5000',
    '/v2/team/app/manifests/1?ns=Registry.Example',
    'http://registry.example/v2/team/app/manifests/1'
  ])('that names the repository in another way, as %s, needs the same right', async (path) => {
    const { client } = await startWithAccess({ ownHosts: ['registry.example'] })
    expect((await client.get(path)).status).toBe(401)
    expect((await client.get(path, basic('nobody'))).status).toBe(403)
    expect((await client.get(path, basic('puller'))).status).toBe(200)
  })

  it('can not borrow the rights of the repository that its name begins with', async () => {
    const { client } = await startWithAccess()
    expect((await client.get('/v2/open/app/manifests/app/manifests/1')).status).toBe(401)
    expect((await client.get('/v2/open/app/blobs/uploads/app/manifests/1')).status).toBe(401)
  })
})
