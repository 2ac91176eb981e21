import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from './digest.ts'
import { formatImageReference, parseImageReference } from './image-reference.ts'

const DIGEST = digestOf(new Uint8Array())

describe('image references', () => {
  it.each([
    ['app', { repository: 'app', tag: 'latest' }],
    ['team/app:1.0', { repository: 'team/app', tag: '1.0' }],
    ['localhost:5000/app', { repository: 'localhost:5000/app', tag: 'latest' }],
    ['registry.example:5000/team/app:1', { repository: 'registry.example:5000/team/app', tag: '1' }],
    ['GHCR.io/team/app:V1', { repository: 'ghcr.io/team/app', tag: 'V1' }],
    ['docker.io/nginx', { repository: 'docker.io/library/nginx', tag: 'latest' }],
    [`app@${DIGEST}`, { repository: 'app', digest: DIGEST }],
    [`host.example:1/a/b:t@${DIGEST}`, { repository: 'host.example:1/a/b', tag: 't', digest: DIGEST }]
  ])('reads %s', (text, reference) => {
    expect(parseImageReference(text)).toEqual(reference)
  })

  it('assumes no registry for a plain name', () => {
    expect(parseImageReference('library/nginx').repository).toBe('library/nginx')
  })

  it.each([
    ['', 'NAME_INVALID'],
    [':tag', 'NAME_INVALID'],
    ['App', 'NAME_INVALID'],
    ['host.example/App', 'NAME_INVALID'],
    ['https://host.example/app', 'NAME_INVALID'],
    ['app:', 'TAG_INVALID'],
    ['app:a b', 'TAG_INVALID'],
    ['app@', 'DIGEST_INVALID'],
    [`app@${DIGEST}@${DIGEST}`, 'DIGEST_INVALID'],
    ['app@sha256:abc', 'DIGEST_INVALID'],
    ['a'.repeat(2000), 'NAME_INVALID']
  ])('refuses %j with %s', (text, code) => {
    expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ code }))
  })

  it('reads what it wrote', () => {
    const repository = fc.constantFrom('app', 'team/app', 'localhost:5000/a', 'docker.io/library/a', 'ghcr.io/x/y')
    const tag = fc.constantFrom('', ':latest', ':1.2_3')
    const digest = fc.constantFrom('', `@${DIGEST}`)
    fc.assert(
      fc.property(repository, tag, digest, (...parts) => {
        const reference = parseImageReference(parts.join(''))
        expect(parseImageReference(formatImageReference(reference))).toEqual(reference)
      })
    )
  })
})
