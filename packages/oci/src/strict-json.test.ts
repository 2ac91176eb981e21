import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseStrictJson, StrictJsonError } from './strict-json.ts'

const parse = (text: string) => parseStrictJson(Buffer.from(text), 8)

describe('strict JSON', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.constantFrom(0, 1, 2), (text, indent) => {
        const pretty = JSON.stringify(JSON.parse(text), undefined, indent)
        expect(parse(pretty)).toEqual(JSON.parse(text))
      })
    )
  })

  it.each([
    '{"a":1,"a":1}',
    '{"a":1,"b":2,"a":{}}',
    '{"a":1,"\\u0061":2}',
    '{"a" :1,"a"\r\n\t :2}',
    '[{"x":{"a":1,"a":2}}]',
    '{"a":{"b":1},"c":[{}],"a":2}',
    '{"":1,"":2}',
    '{"a\\"":1,"a\\"":2}',
    '{"__proto__":1,"__proto__":2}'
  ])('refuses the duplicate key in %s', (text) => {
    expect(() => parse(text)).toThrow(/twice/)
  })

  it.each([
    '{"a":{"a":{"a":1}}}',
    '[{"a":1},{"a":2}]',
    '{"a":"a","b":"a"}',
    '["a","a"]',
    '{"a":"\\"a\\":1,\\"a\\":2"}',
    '{"a":"{[","b":"]}"}',
    '{"a\\\\":1,"a":2}'
  ])('accepts %s, which only looks like one with duplicate keys', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text))
  })

  it('counts depth in containers, not in siblings or strings', () => {
    expect(parse('[[[[[[[[]]]]]]]]')).toBeDefined()
    expect(() => parse('[[[[[[[[[]]]]]]]]]')).toThrow(/deeper than 8/)
    expect(() => parse('{"a":'.repeat(9))).toThrow(/deeper than 8/)
    expect(parse(`[${Array(100).fill('[]').join(',')}]`)).toHaveLength(100)
    expect(parse('"[[[[[[[[[[["')).toBe('[[[[[[[[[[[')
  })

  it.each([
    '',
    '{',
    '}',
    ']',
    '"',
    '"\\',
    '{"a"}',
    '{"a":1,}',
    '[1,]',
    '01',
    'NaN',
    '{a:1}',
    "{'a':1}",
    '1 2',
    '/**/1',
    '\ufeff{}',
    '{"a\\x":1}',
    '"\n"'
  ])('refuses the wrong syntax of %j', (text) => {
    expect(() => parse(text)).toThrow(StrictJsonError)
  })

  it.each([
    ['overlong', [0x22, 0xc0, 0xaf, 0x22]],
    ['cut off', [0x22, 0xe2, 0x82, 0x22]],
    ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]]
  ])('refuses UTF-8 that is %s', (_what, bytes) => {
    expect(() => parseStrictJson(Uint8Array.from(bytes), 8)).toThrow(/UTF-8/)
  })

  it('throws nothing but its own error, whatever the bytes', () => {
    const jsonish = fc.stringMatching(/^[[\]{}",:\\ a0u]*$/).map((text) => Buffer.from(text))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), jsonish), (bytes) => {
        try {
          parseStrictJson(bytes, 8)
        } catch (error) {
          expect(error).toBeInstanceOf(StrictJsonError)
        }
      }),
      { numRuns: 1000 }
    )
  })
})
