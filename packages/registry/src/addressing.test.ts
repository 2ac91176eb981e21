import { isOciError, registryHostOf } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addressRepository, parseOwnHosts } from './addressing.ts'

const OWN = ['seed.example:5000', 'seed.example']

describe('repository addressing', () => {
  it.each([
    ['library/alpine', undefined, 'library/alpine'],
    ['team/app', undefined, 'team/app'],
    ['docker.io/library/nginx', undefined, 'docker.io/library/nginx'],
    ['docker.io/nginx', undefined, 'docker.io/library/nginx'],
    ['ghcr.io/org/app', undefined, 'ghcr.io/org/app'],
    ['registry.example:8443/app', undefined, 'registry.example:8443/app'],
    ['seed.example:5000/team/app', undefined, 'team/app'],
    ['seed.example/team/app', undefined, 'team/app'],
    ['localhost/app', undefined, 'app'],
    ['localhost:5000/app', undefined, 'app'],
    ['127.0.0.1:5000/app', undefined, 'app'],
    ['127.1.2.3/app', undefined, 'app'],
    ['[::1]:5000/app', undefined, 'app'],
    ['seed.example/docker.io/library/nginx', undefined, 'docker.io/library/nginx'],
    ['library/nginx', 'docker.io', 'docker.io/library/nginx'],
    ['nginx', 'docker.io', 'docker.io/library/nginx'],
    ['library/nginx', 'index.docker.io', 'docker.io/library/nginx'],
    ['library/nginx', 'registry-1.docker.io', 'docker.io/library/nginx'],
    ['org/app', 'GHCR.io', 'ghcr.io/org/app'],
    ['org/app', 'registry.example:8443', 'registry.example:8443/org/app'],
    ['team/app', 'seed.example:5000', 'team/app'],
    ['team/app', 'Seed.Example', 'team/app'],
    ['team/app', 'localhost:5000', 'team/app'],
    ['team/app', '127.0.0.1:32768', 'team/app'],
    ['team/app', '[::1]:5000', 'team/app'],
    ['docker.io/library/nginx', 'localhost:5000', 'docker.io/library/nginx']
  ])('%s with ns %s is %s', (name, namespace, repository) => {
    expect(addressRepository(name, namespace, OWN)).toBe(repository)
  })

  it.each(['', 'word', 'a/b.c', 'a b.c', '.', 'http://a.b', 'a.b/c', 'a.b:port', 'x'.repeat(300), '*.example'])(
    'ns %s is no registry',
    (namespace) => {
      expect(() => addressRepository('app', namespace, OWN)).toThrow(expect.objectContaining({ code: 'NAME_UNKNOWN' }))
    }
  )

  it.each([
    ['App', undefined],
    ['a//b', undefined],
    ['docker.io/', undefined],
    ['localhost:5000/', undefined],
    ['_catalog/x', undefined],
    ['UPPER/app', 'docker.io'],
    ['../app', 'docker.io']
  ])('%s with ns %s is no name', (name, namespace) => {
    expect(() => addressRepository(name, namespace, OWN)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
  })

  it('never takes this registry or a loopback host for an upstream', () => {
    const host = fc.constantFrom('localhost:5000', '127.0.0.1', 'seed.example', 'docker.io', 'team', 'a.example:1')
    const name = fc.array(fc.oneof(host, fc.constantFrom('app', 'x')), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(name, fc.option(host, { nil: undefined }), (parts, namespace) => {
        try {
          const upstream = registryHostOf(addressRepository(parts.join('/'), namespace, OWN))
          expect(['docker.io', 'a.example:1', undefined]).toContain(upstream)
        } catch (error) {
          if (!isOciError(error)) throw error
        }
      })
    )
  })

  it('reads the hosts of a configuration', () => {
    expect(parseOwnHosts(['Seed.Example:5000', '[::1]:5000'])).toEqual(['seed.example:5000', '[::1]:5000'])
    expect(() => parseOwnHosts(['not a host'])).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }))
  })
})
