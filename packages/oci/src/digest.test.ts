import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createDigestHash,
  digestAlgorithm,
  digestBytes,
  digestHex,
  digestOf,
  digestOfHash,
  isDigest,
  parseDigest
} from './digest.ts'
import { isOciError } from './errors.ts'

const HEX = 'a'.repeat(64)

describe('digests', () => {
  it.each([`sha256:${HEX}`, `sha512:${HEX}${HEX}`])('accepts %s', (text) => {
    expect(parseDigest(text)).toBe(text)
  })

  it.each([
    '',
    ':',
    'sha256',
    'sha256:',
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}a`,
    `sha512:${HEX}`,
    `sha256:${HEX.toUpperCase()}`,
    `SHA256:${HEX}`,
    `sha256: ${HEX.slice(1)}`,
    `sha256:${HEX}\n`,
    `sha256:../../${HEX.slice(6)}`,
    `md5:${HEX.slice(32)}`,
    `constructor:${HEX}`,
    `__proto__:${HEX}`,
    HEX
  ])('refuses %j', (text) => {
    expect(isDigest(text)).toBe(false)
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }))
  })

  it('refuses what is no string', () => {
    for (const value of [undefined, null, 1, {}, [`sha256:${HEX}`]]) expect(isDigest(value)).toBe(false)
  })

  it('knows the digests of the empty blob', () => {
    expect(digestOf(new Uint8Array())).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(digestOf(new Uint8Array(), 'sha512')).toMatch(/^sha512:cf83e1357eefb8bd/)
  })

  it('gives back the algorithm and the raw hash of any content', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const), (bytes, algorithm) => {
        const digest = digestOf(bytes, algorithm)
        expect(digestAlgorithm(digest)).toBe(algorithm)
        expect(digestOfHash(algorithm, digestBytes(digest))).toBe(digest)
        expect(createDigestHash(algorithm).update(bytes).digest('hex')).toBe(digestHex(digest))
      })
    )
  })

  it('refuses a hash of the wrong length', () => {
    expect(() => digestOfHash('sha256', new Uint8Array(31))).toThrow(
      expect.objectContaining({ code: 'DIGEST_INVALID' })
    )
  })

  it('cuts a long text out of the error that tells of it', () => {
    try {
      parseDigest('x'.repeat(100_000))
      expect.unreachable()
    } catch (error) {
      expect(isOciError(error) && JSON.stringify(error.detail).length).toBeLessThan(300)
    }
  })
})
