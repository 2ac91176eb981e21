import { describe, expect, it } from 'vitest'
import {
  looksLikeHost,
  mirroredRepository,
  normalizeRegistryHost,
  ownRepository,
  parseRepository,
  parseRepositoryName,
  parseTag,
  registryHostOf
} from './repository.ts'

const nameInvalid = expect.objectContaining({ code: 'NAME_INVALID' })

describe('repository names', () => {
  it.each(['a', 'team/app', 'a.b_c__d-e---f/g0', 'blobs/uploads/manifests', `${'a'.repeat(127)}/${'b'.repeat(127)}`])(
    'accepts %s',
    (name) => expect(parseRepositoryName(name)).toBe(name)
  )

  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a_',
    '-a',
    'a..b',
    'a___b',
    'a/../b',
    'a b',
    'ä',
    'a\n',
    'a'.repeat(256)
  ])('refuses %j', (name) => expect(() => parseRepositoryName(name)).toThrow(nameInvalid))

  it('judges a long hostile name at once', () => {
    expect(() => parseRepositoryName(`${'a-'.repeat(100_000)}!`)).toThrow(nameInvalid)
    expect(looksLikeHost(`${'a.'.repeat(100_000)}!`)).toBe(false)
    expect(looksLikeHost(`${'-'.repeat(100_000)}.`)).toBe(false)
  })
})

describe('tags', () => {
  it.each(['latest', 'v1.0', '_x', 'A-b_C', 'a'.repeat(128)])('accepts %s', (tag) => expect(parseTag(tag)).toBe(tag))
  it.each(['', '.a', '-a', 'a/b', 'a:b', 'a@b', '..', 'a\n', 'a'.repeat(129)])('refuses %j', (tag) => {
    expect(() => parseTag(tag)).toThrow(expect.objectContaining({ code: 'TAG_INVALID' }))
  })
})

describe('repositories', () => {
  it.each([
    ['team/app', undefined],
    ['app', undefined],
    ['docker.io', undefined],
    ['a_b.c/app', undefined],
    ['ghcr.io/team/app', 'ghcr.io'],
    ['localhost/app', 'localhost'],
    ['localhost:5000/app', 'localhost:5000'],
    ['registry:5000/app', 'registry:5000'],
    ['127.0.0.1:5000/app', '127.0.0.1:5000']
  ])('knows the registry of %s: %s', (text, host) => {
    const repository = parseRepository(text)
    expect(repository).toBe(text)
    expect(registryHostOf(repository)).toBe(host)
  })

  it.each(['docker.io/nginx', 'index.docker.io/nginx', 'registry-1.docker.io/library/nginx'])(
    'gives %s the one name of Docker Hub',
    (text) => expect(parseRepository(text)).toBe('docker.io/library/nginx')
  )

  it('adds library/ for Docker Hub alone', () => {
    expect(mirroredRepository('docker.io', 'team/app')).toBe('docker.io/team/app')
    expect(mirroredRepository('quay.io', 'app')).toBe('quay.io/app')
  })

  it('takes no own repository that would be read as a mirrored one', () => {
    for (const name of ['docker.io/library/nginx', 'localhost/app', 'my.team/app']) {
      expect(() => ownRepository(name)).toThrow(nameInvalid)
    }
    expect(ownRepository('my.app')).toBe('my.app')
  })

  it('takes no registry host that would be read as part of an own name', () => {
    for (const host of ['team', '', 'a/b', 'a.b/c', '.', 'a..b', '-a.b', 'a.b:', 'a.b:123456', 'a_b.c', 'a.b\n']) {
      expect(() => normalizeRegistryHost(host)).toThrow(nameInvalid)
      expect(() => mirroredRepository(host, 'app')).toThrow(nameInvalid)
    }
  })

  it('holds hosts equal that differ in case only', () => {
    expect(normalizeRegistryHost('GHCR.io')).toBe('ghcr.io')
    expect(normalizeRegistryHost('Index.Docker.IO')).toBe('docker.io')
  })
})
