import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatBasic, parseAuthorization } from './authorization.ts'

const UNAUTHORIZED = expect.objectContaining({ code: 'UNAUTHORIZED' })
const base64 = (bytes: string | Uint8Array) => Buffer.from(bytes).toString('base64')

describe('a Basic credential', () => {
  it.each([
    ['user:password', 'user', 'password'],
    ['user:pass:word:', 'user', 'pass:word:'],
    ['benutzer:pässwörd ✓', 'benutzer', 'pässwörd ✓'],
    [':key', '', 'key'],
    ['user:', 'user', '']
  ])('%j is parted at its first colon', (text, user, password) => {
    expect(parseAuthorization(`Basic ${base64(text)}`)).toEqual({ scheme: 'basic', user, password })
  })

  it('is read in any spelling of its scheme', () => {
    for (const scheme of ['basic', 'BASIC', 'bAsIc']) {
      expect(parseAuthorization(`${scheme}  ${base64('a:b')}`)).toMatchObject({ scheme: 'basic', user: 'a' })
    }
  })

  it.each([
    ['no colon', base64('user')],
    ['no UTF-8', base64(Uint8Array.of(0x61, 0x3a, 0xff))],
    ['a line end', base64('user:pass\nword')],
    ['a NUL', base64('us\0er:password')],
    ['a name without end', base64(`${'u'.repeat(256)}:p`)],
    ['base64 without padding', base64('a:bc').replace(/=+$/, '')],
    ['base64url', base64('>>>:???').replaceAll('/', '_').replaceAll('+', '-')],
    ['bits that mean nothing', 'YTpiYx==']
  ])('is refused with %s', (_, value) => {
    expect(() => parseAuthorization(`Basic ${value}`)).toThrow(UNAUTHORIZED)
  })

  it('is read back as it was written, whatever it holds', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !/\p{Cc}|\p{Cs}/u.test(value))
    const user = text.filter((value) => value.length <= 255).map((value) => value.replaceAll(':', ''))
    fc.assert(
      fc.property(user, text, (name, password) => {
        const read = parseAuthorization(formatBasic(name, password))
        expect(read).toEqual({ scheme: 'basic', user: name, password })
      })
    )
  })
})

describe('an Authorization header', () => {
  it('may be missing', () => {
    expect(parseAuthorization(undefined)).toBeUndefined()
  })

  it('brings a Bearer token as it is', () => {
    expect(parseAuthorization('Bearer lmk_0_a-b')).toEqual({ scheme: 'bearer', token: 'lmk_0_a-b' })
  })

  it.each([
    '',
    ' ',
    'Basic',
    'Basic ',
    'Bearer',
    'Bearer a b',
    'Digest a',
    'Bearer a, Basic b',
    ' Bearer a',
    'Bearer "a"'
  ])('is refused when it is %j', (header) => {
    expect(() => parseAuthorization(header)).toThrow(UNAUTHORIZED)
  })

  it('is read or refused, and never makes anything else fail', () => {
    const header = fc.oneof(
      fc.string(),
      fc.base64String().map((value) => `Basic ${value}`),
      fc.string().map((value) => `Bearer ${value}`)
    )
    fc.assert(
      fc.property(header, (value) => {
        try {
          expect(['basic', 'bearer']).toContain(parseAuthorization(value)?.scheme)
        } catch (error) {
          expect(error).toEqual(UNAUTHORIZED)
        }
      }),
      { numRuns: 2_000 }
    )
  })

  it('never shows the credential in the message', () => {
    const thrown = (() => {
      try {
        return parseAuthorization(`Basic ${base64('hunter2')}`)
      } catch (error) {
        return error
      }
    })()
    expect(JSON.stringify(thrown) + String(thrown)).not.toMatch(/hunter2|aHVudGVyMg/)
  })
})
