import { isOciError } from '@layermesh/oci'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseRoute } from './route.ts'

const SHA256 = `sha256:${'a'.repeat(64)}`
const SHA512 = `sha512:${'b'.repeat(128)}`

describe('route', () => {
  it.each(['/v2', '/v2/', 'http://mirror:5000/v2/'])('%s is the base', (path) => {
    expect(parseRoute(path)).toEqual({ endpoint: 'base' })
  })

  it.each([
    ['/v2/_catalog', { endpoint: 'catalog' }],
    ['/v2/team/app/tags/list', { endpoint: 'tags', name: 'team/app' }],
    ['/v2/app/manifests/1.0', { endpoint: 'manifest', name: 'app', reference: { tag: '1.0' } }],
    [`/v2/app/manifests/${SHA256}`, { endpoint: 'manifest', name: 'app', reference: { digest: SHA256 } }],
    [`/v2/app/blobs/${SHA512}`, { endpoint: 'blob', name: 'app', digest: SHA512 }],
    [`/v2/app/blobs/${SHA256.replace(':', '%3A')}`, { endpoint: 'blob', name: 'app', digest: SHA256 }],
    [`/v2/app/referrers/${SHA256}`, { endpoint: 'referrers', name: 'app', digest: SHA256 }],
    ['/v2/app/blobs/uploads/', { endpoint: 'uploads', name: 'app' }],
    ['/v2/app/blobs/uploads', { endpoint: 'uploads', name: 'app' }],
    ['/v2/app/blobs/uploads/1b4e28ba-2fa1', { endpoint: 'upload', name: 'app', id: '1b4e28ba-2fa1' }],
    ['/v2/localhost:5000/app/tags/list', { endpoint: 'tags', name: 'localhost:5000/app' }]
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route)
  })

  it.each([
    ['/v2/a/blobs/b/manifests/x', 'a/blobs/b'],
    ['/v2/tags/list/tags/list', 'tags/list'],
    ['/v2/manifests/manifests/manifests', 'manifests'],
    ['/v2/blobs/uploads/blobs/uploads/', 'blobs/uploads'],
    ['/v2/blobs/uploads/blobs/uploads/id', 'blobs/uploads'],
    ['/v2/a/blobs/uploads/manifests/x', 'a/blobs/uploads'],
    [`/v2/a/referrers/referrers/${SHA256}`, 'a/referrers'],
    [`/v2/uploads/blobs/${SHA256}`, 'uploads']
  ])('finds the name in %s', (path, name) => {
    expect(parseRoute(path)).toMatchObject({ name })
  })

  it.each([
    '',
    '/',
    '/v1/',
    '/V2/',
    '/v2x/',
    '/v2/app',
    '/v2/tags/list',
    '/v2/manifests/x',
    '/v2/blobs/uploads/',
    '/v2/blobs/uploads/id',
    '/v2/app/tags',
    '/v2/app/tags/list/',
    '/v2/app/tags/list/more',
    '/v2/app/manifests/',
    '/v2/app/manifests/x/',
    `/v2/app/blobs/${SHA256}/`,
    '/v2/_catalog/',
    '/v2/_oci/ext/discover',
    '/v2/app/Manifests/x'
  ])('%s leads nowhere', (path) => {
    expect(parseRoute(path)).toBeUndefined()
  })

  it.each([
    ['/v2/app%2fmanifests/x', 'NAME_INVALID'],
    ['/v2/app/manifests%2Fx', 'NAME_INVALID'],
    ['/v2/app\\x/manifests/x', 'NAME_INVALID'],
    ['/v2/app%5cx/manifests/x', 'NAME_INVALID'],
    ['/v2/app%00/manifests/x', 'NAME_INVALID'],
    ['/v2//app/manifests/x', 'NAME_INVALID'],
    ['//v2/app/manifests/x', 'NAME_INVALID'],
    ['/v2/app/../other/manifests/x', 'NAME_INVALID'],
    ['/v2/app/%2e%2e/other/manifests/x', 'NAME_INVALID'],
    ['/v2/./app/manifests/x', 'NAME_INVALID'],
    ['/v2/app%/manifests/x', 'NAME_INVALID'],
    ['/v2/app%ff/manifests/x', 'NAME_INVALID'],
    ['*', 'NAME_INVALID'],
    ['/v2/app/manifests/-x', 'TAG_INVALID'],
    ['/v2/app/manifests/%252e', 'TAG_INVALID'],
    [`/v2/app/manifests/${'x'.repeat(129)}`, 'TAG_INVALID'],
    ['/v2/app/manifests/sha256:totallywrong', 'DIGEST_INVALID'],
    [`/v2/app/manifests/${SHA256.toUpperCase()}`, 'DIGEST_INVALID'],
    ['/v2/app/blobs/latest', 'DIGEST_INVALID'],
    ['/v2/app/referrers/latest', 'DIGEST_INVALID'],
    ['/v2/app/blobs/uploads/a.b', 'BLOB_UPLOAD_UNKNOWN'],
    [`/v2/app/blobs/uploads/${'x'.repeat(129)}`, 'BLOB_UPLOAD_UNKNOWN']
  ])('refuses %s with %s', (path, code) => {
    expect(() => parseRoute(path)).toThrow(expect.objectContaining({ code }))
  })

  const component = fc.constantFrom('a', 'blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers', 'x__y-z', 'v2')
  const names = fc.array(component, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'))

  it('finds any name again, whatever words it is made of and however it is escaped', () => {
    fc.assert(
      fc.property(names, fc.infiniteStream(fc.boolean()), (name, escaped) => {
        const paths = [
          ['tags/list', 'tags'],
          ['manifests/list', 'manifest'],
          [`manifests/${SHA256}`, 'manifest'],
          [`blobs/${SHA256}`, 'blob'],
          [`referrers/${SHA256}`, 'referrers'],
          ['blobs/uploads/', 'uploads'],
          ['blobs/uploads/list', 'upload']
        ]
        for (const [rest, endpoint] of paths) {
          const path = `/v2/${name}/${rest}`.replace(/[^/]/g, (letter) =>
            escaped.next().value ? `%${letter.charCodeAt(0).toString(16)}` : letter
          )
          expect(parseRoute(path)).toMatchObject({ endpoint, name })
        }
      })
    )
  })

  it('fails in no way but the registry’s own, and never finds a name that could climb', () => {
    const pieces = fc.constantFrom('/', '//', '.', '..', '%', '%2f', '%2e', '%25', '\\', '\0', ':', '?', '#', ';', 'é')
    const anything = fc.array(fc.oneof(pieces, component, fc.string()), { maxLength: 12 })
    fc.assert(
      fc.property(anything, (parts) => {
        let route: ReturnType<typeof parseRoute>
        try {
          route = parseRoute(`/v2/${parts.join('')}`)
        } catch (error) {
          expect(isOciError(error)).toBe(true)
          return
        }
        if (route === undefined || !('name' in route)) return
        expect(`/${route.name}/`).not.toMatch(/\/\.{0,2}\/|\\|\0/)
      }),
      { numRuns: 2000 }
    )
  })
})
