import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTrustError } from './errors.ts'
import {
  asFields,
  asText,
  bytesField,
  checkCanonical,
  decodePayload,
  encodePayload,
  listField,
  numberField,
  textField
} from './payload.ts'

const malformed = expect.objectContaining({ code: 'RECORD_MALFORMED' })
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

describe('a payload', () => {
  it('is encoded the same whatever the order of its fields', () => {
    const expected = hex('a3 61 61 01 61 62 f5 62 6161 41 07')
    expect(Buffer.from(encodePayload({ aa: Uint8Array.of(7), b: true, a: 1 }))).toEqual(expected)
    expect(Buffer.from(encodePayload({ a: 1, aa: Buffer.from([7]), b: true }))).toEqual(expected)
  })

  it('gives back what was put in', () => {
    const decoded = decodePayload(encodePayload({ text: 'ä', number: 2 ** 53 - 1, bytes: Uint8Array.of(1, 2) }))
    expect(textField(decoded, 'text')).toBe('ä')
    expect(numberField(decoded, 'number')).toBe(2 ** 53 - 1)
    expect(bytesField(decoded, 'bytes')).toEqual(Uint8Array.of(1, 2))
  })

  it('gives back lists of texts and of maps, the maps encoded the same whatever their order', () => {
    const list = [
      { b: 'x', a: 1 },
      { a: 2, b: 'y' }
    ]
    const bytes = encodePayload({ list, texts: ['p', 'q'], none: [] })
    expect(bytes).toEqual(encodePayload({ none: [], texts: ['p', 'q'], list: list.map(({ a, b }) => ({ a, b })) }))
    const decoded = decodePayload(bytes)
    expect(listField(decoded, 'texts', 2, asText)).toEqual(['p', 'q'])
    expect(listField(decoded, 'none', 0, asText)).toEqual([])
    const numbers = listField(decoded, 'list', 2, (item) => numberField(asFields(item), 'a'))
    expect(numbers).toEqual([1, 2])
  })

  it('is refused when a list is longer than it may be, is none, or holds something else', () => {
    const decoded = decodePayload(encodePayload({ texts: ['p', 'q'], text: 'p', maps: [{ a: 1 }], lists: [['p']] }))
    expect(() => listField(decoded, 'texts', 1, asText)).toThrow(malformed)
    for (const name of ['text', 'missing', 'maps', 'lists']) {
      expect(() => listField(decoded, name, 9, asText)).toThrow(malformed)
    }
    for (const name of ['texts', 'lists'])
      expect(() => listField(decoded, name, 9, (item) => asFields(item))).toThrow(malformed)
  })

  it('is refused when a field is missing or of another type', () => {
    const decoded = decodePayload(encode({ a: 'x', b: 1, c: [1], d: null, e: 1n << 60n > 0n }))
    for (const name of ['b', 'c', 'd', 'e', 'missing', '__proto__'])
      expect(() => textField(decoded, name)).toThrow(malformed)
    for (const name of ['a', 'c', 'd', 'e', 'missing']) expect(() => numberField(decoded, name)).toThrow(malformed)
    for (const name of ['a', 'b', 'c', 'd', 'e', 'missing']) expect(() => bytesField(decoded, name)).toThrow(malformed)
  })

  it.each([
    ['nothing', ''],
    ['an array', '80'],
    ['a number', '01'],
    ['a byte string', '41 00'],
    ['cut off', 'a1 61 61'],
    ['followed by something', 'a1 61 61 01 00'],
    ['of indefinite length', 'bf 61 61 01 ff'],
    ['with a key twice', 'a2 61 61 01 61 61 02'],
    ['with an integer in more bytes than it needs', 'a1 61 61 18 01'],
    ['with a length in more bytes than it needs', 'a1 78 01 61 01'],
    ['with undefined', 'a1 61 61 f7'],
    ['with an integer beyond exact numbers', 'a1 61 61 1b 00 20 00 00 00 00 00 00'],
    ['with a tag', 'a1 61 61 c1 01'],
    ['of huge announced size', 'bb 7f ff ff ff ff ff ff ff'],
    ['of a huge announced string', 'a1 61 61 5b 00 00 00 ff ff ff ff ff 00']
  ])('is refused when it is %s', (_what, text) => {
    expect(() => decodePayload(hex(text))).toThrow(malformed)
  })

  it.each([
    ['with keys out of order', 'a2 61 62 02 61 61 01'],
    ['with an integer written as a float', 'a2 61 61 01 61 62 f9 40 00'],
    ['with a field more', 'a3 61 61 01 61 62 02 61 63 03']
  ])('is not canonical %s', (_what, text) => {
    const bytes = hex(text)
    const decoded = decodePayload(bytes)
    const fields = { a: numberField(decoded, 'a'), b: numberField(decoded, 'b') }
    expect(fields).toEqual({ a: 1, b: 2 })
    expect(() => checkCanonical(bytes, fields)).toThrow(malformed)
    checkCanonical(hex('a2 61 61 01 61 62 02'), fields)
  })

  it('is refused when it is nested so deep that a stack overflows', () => {
    expect(() => decodePayload(new Uint8Array(132_000).fill(0x81))).toThrow(malformed)
    expect(() => decodePayload(Buffer.from('a16161'.repeat(40_000), 'hex'))).toThrow(malformed)
  })

  it('throws nothing but a TrustError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.integer({ min: 0xa0, max: 0xbf }), (rest, first) => {
        try {
          decodePayload(Uint8Array.of(first, ...rest))
        } catch (error) {
          expect(error).toSatisfy(isTrustError)
        }
      }),
      { numRuns: 2000 }
    )
  })
})
