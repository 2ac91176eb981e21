import { parseRepository } from '@layermesh/oci'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { describe, expect, it } from 'vitest'
import { peerIdOf } from './keys.ts'
import { TrustPolicy } from './trust-policy.ts'

const peer = async (seed: number) => await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(seed))
const seedKey = await peer(1)
const seed = peerIdOf(seedKey)
const other = peerIdOf(await peer(2))

const matches = (pattern: string, repository: string) =>
  new TrustPolicy([{ peerId: seed, repositories: [pattern] }]).maySign(seed, parseRepository(repository))

describe('a repository pattern', () => {
  it.each([
    ['**', 'app'],
    ['**', 'team/sub/app'],
    ['*', 'app'],
    ['*/*', 'team/app'],
    ['team/*', 'team/app'],
    ['team/**', 'team/sub/app'],
    ['team/**/app', 'team/a/b/app'],
    ['**/app', 'team/app'],
    ['team/web-*', 'team/web-1'],
    ['team/web-*', 'team/web-'.concat('x.y')],
    ['te*m/a*p', 'team/app'],
    ['team/app', 'team/app'],
    ['docker.io/**', 'docker.io/library/nginx'],
    ['docker.io/library/*', 'docker.io/library/nginx'],
    ['docker.io/nginx', 'docker.io/library/nginx'],
    ['index.docker.io/**', 'docker.io/library/nginx'],
    ['GHCR.io/team/*', 'ghcr.io/team/app'],
    ['localhost:5000/*', 'localhost:5000/app']
  ])('%s matches %s', (pattern, repository) => {
    expect(matches(pattern, repository)).toBe(true)
  })

  it.each([
    ['*', 'team/app'],
    ['team/*', 'team'],
    ['team/*', 'team/sub/app'],
    ['team/**', 'team'],
    ['team/**', 'teams/app'],
    ['**/app', 'app'],
    ['team/app', 'team/app2'],
    ['team/app', 'a/team/app'],
    ['a.b', 'axb'],
    ['**', 'docker.io/library/nginx'],
    ['**', 'localhost/app'],
    ['*/**', 'ghcr.io/team/app'],
    ['**/nginx', 'docker.io/library/nginx'],
    ['docker*/**', 'docker.io/library/nginx'],
    ['docker.io/**', 'ghcr.io/team/app'],
    ['docker.io/**', 'ghcr.io/docker.io/library/nginx'],
    ['docker.io/**', 'app'],
    ['library/**', 'docker.io/library/nginx'],
    ['localhost/*', 'localhost:5000/app']
  ])('%s does not match %s', (pattern, repository) => {
    expect(matches(pattern, repository)).toBe(false)
  })

  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'a**',
    'te**/x',
    '***',
    'A/b',
    'a b',
    'a/[b]',
    '(a)',
    'a/b+',
    '*.example.com/**',
    'ghcr.io/',
    'ghcr.io/A',
    'a'.repeat(513)
  ])('is refused when it is %j', (pattern) => {
    expect(() => matches(pattern, 'app')).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
  })
})

describe('a trust policy with a seed set', () => {
  const [app, mirrored] = [parseRepository('team/app'), parseRepository('docker.io/library/nginx')]

  it('trusts those of the set besides those of the configuration, and those of the newest set only', () => {
    const policy = new TrustPolicy([{ peerId: seed }])
    policy.useSeedSet({ seeds: [{ peerId: other, repositories: ['docker.io/**'] }], revoked: [] }, true)
    expect(policy.signers()).toEqual([seed, other])
    expect([policy.maySign(other, mirrored), policy.maySign(other, app)]).toEqual([true, false])
    policy.useSeedSet({ seeds: [], revoked: [] }, true)
    expect([policy.maySign(other, mirrored), policy.maySign(seed, app)]).toEqual([false, true])
  })

  it('trusts nobody whom the set revokes, whoever else does', () => {
    const policy = new TrustPolicy([{ peerId: seed }, { peerId: other, repositories: ['team/*'] }])
    policy.useSeedSet({ seeds: [], revoked: [seed] }, true)
    expect(policy.maySign(seed, app)).toBe(false)
    expect(policy.signers()).toEqual([other])
    expect(policy.signersFor(app)).toEqual([other])
    expect([policy.isRevoked(seed), policy.isRevoked(other)]).toEqual([true, false])
  })

  it('trusts a seed until its time is over, also when the configuration names it', () => {
    let now = 99
    const policy = new TrustPolicy([{ peerId: seed }], () => now)
    policy.useSeedSet({ seeds: [{ peerId: seed, repositories: ['**'], notAfter: 100 }], revoked: [] }, true)
    expect([policy.maySign(seed, app), policy.isRetiring(seed), policy.endOf(seed)]).toEqual([true, true, 100])
    now = 100
    expect([policy.maySign(seed, app), policy.isRetiring(seed), policy.endOf(seed)]).toEqual([false, false, 100])
    expect(policy.signers()).toEqual([])
  })

  it('takes from a set that does not count any more only what it takes away', () => {
    const policy = new TrustPolicy([{ peerId: seed }])
    policy.useSeedSet({ seeds: [{ peerId: other, repositories: ['**'] }], revoked: [seed] }, false)
    expect(policy.signers()).toEqual([])
  })

  it('has what the set says of a peer in place of what was only assumed of it', () => {
    const policy = new TrustPolicy([{ peerId: seed, byDefault: true }])
    expect(policy.maySign(seed, app)).toBe(true)
    policy.useSeedSet({ seeds: [{ peerId: seed, repositories: ['other/**'] }], revoked: [] }, true)
    expect([policy.maySign(seed, app), policy.maySign(seed, parseRepository('other/app'))]).toEqual([false, true])
  })
})

describe('a trust policy', () => {
  it('lets a signer sign for all own repositories, and for no mirrored one, when nothing else is said', () => {
    const policy = new TrustPolicy([{ peerId: seed }])
    expect(policy.maySign(seed, parseRepository('team/app'))).toBe(true)
    expect(policy.maySign(seed, parseRepository('docker.io/library/nginx'))).toBe(false)
  })

  it('lets nobody sign who is not named, and nothing be signed that is not named', () => {
    const policy = new TrustPolicy([{ peerId: seed, repositories: [] }])
    expect(policy.maySign(seed, parseRepository('app'))).toBe(false)
    expect(policy.maySign(other, parseRepository('app'))).toBe(false)
    expect(policy.maySign('constructor', parseRepository('app'))).toBe(false)
  })

  it('tells the signers of a repository', () => {
    const policy = new TrustPolicy([
      { peerId: seed, repositories: ['team/**'] },
      { peerId: other, repositories: ['**'] },
      { peerId: seed, repositories: ['base'] }
    ])
    expect(policy.signers()).toEqual([seed, other])
    expect(policy.signersFor(parseRepository('team/app'))).toEqual([seed, other])
    expect(policy.signersFor(parseRepository('base'))).toEqual([seed, other])
    expect(policy.signersFor(parseRepository('else'))).toEqual([other])
    expect(policy.signersFor(parseRepository('docker.io/library/nginx'))).toEqual([])
  })

  it('knows a peer by any spelling of its id', () => {
    const policy = new TrustPolicy([{ peerId: peerIdFromPrivateKey(seedKey).toCID().toString() }])
    expect(policy.signers()).toEqual([seed])
  })

  it('takes only peer ids that can sign', async () => {
    const secp256k1 = peerIdOf(await generateKeyPair('secp256k1'))
    for (const peerId of ['', 'seed', seed.slice(1), 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', secp256k1]) {
      expect(() => new TrustPolicy([{ peerId }])).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }))
    }
  })
})

describe('trust for what is mirrored', () => {
  const hub = parseRepository('docker.io/library/nginx')
  const elsewhere = parseRepository('ghcr.io/org/app')

  it('is given by registry, as far as that is mirrored at the moment, besides patterns', () => {
    const mirrored = new Set(['docker.io'])
    const policy = new TrustPolicy([{ peerId: seed, mirrors: (host) => mirrored.has(host) }, { peerId: other }])
    expect([policy.maySign(seed, hub), policy.maySign(seed, elsewhere)]).toEqual([true, false])
    expect(policy.maySign(seed, parseRepository('team/app'))).toBe(true)
    expect(policy.signersFor(hub)).toEqual([seed])
    mirrored.clear()
    expect(policy.maySign(seed, hub)).toBe(false)
  })

  it('ends with the trust in the peer', () => {
    const policy = new TrustPolicy([{ peerId: seed, mirrors: () => true }])
    policy.useSeedSet({ seeds: [], revoked: [seed] }, false)
    expect(policy.maySign(seed, hub)).toBe(false)
  })
})

describe('a repository is named', () => {
  const named = (repository: string, ...repositories: string[]) =>
    new TrustPolicy([{ peerId: seed, ...(repositories.length > 0 && { repositories }) }]).isNamed(
      parseRepository(repository)
    )

  it.each([['library/*'], ['library/nginx'], ['*/*'], ['library/**']])('by %s', (pattern) => {
    expect(named('library/nginx', '**', pattern)).toBe(true)
  })

  it('by no pattern that stands for everything, nor by one for others', () => {
    expect([named('library/nginx'), named('library/nginx', '**'), named('library/nginx', 'team/*')]).toEqual([
      false,
      false,
      false
    ])
  })

  it('by a seed set as well, and by nobody whose word counts no more', () => {
    const policy = new TrustPolicy([{ peerId: other, repositories: ['library/*'] }])
    policy.useSeedSet({ seeds: [{ peerId: seed, repositories: ['team/*'] }], revoked: [other] }, true)
    expect(policy.isNamed(parseRepository('team/app'))).toBe(true)
    expect(policy.isNamed(parseRepository('library/nginx'))).toBe(false)
  })
})
