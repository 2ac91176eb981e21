import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { withItem, withoutItem } from './daemon-json.ts'

const KEY = 'registry-mirrors'
const MIRROR = 'http://127.0.0.1:5000'
const add = (text: string) => withItem(text, 'daemon.json', KEY, MIRROR)
const take = (text: string, dropKey: boolean) => withoutItem(text, 'daemon.json', KEY, MIRROR, dropKey)

describe('a mirror', () => {
  test('is added behind what is there, as it is written there', () => {
    const text = '{\n    "log-level": "info",\n    "proxies": {"no-proxy":"a"}\n}\n'
    expect(add(text)).toBe(
      '{\n    "log-level": "info",\n    "proxies": {"no-proxy":"a"},\n    "registry-mirrors": ["http://127.0.0.1:5000"]\n}\n'
    )
    expect(add('{"a":1}')).toBe('{"a":1,"registry-mirrors": ["http://127.0.0.1:5000"]}')
  })

  test('comes before others', () => {
    expect(add(`{\n\t"${KEY}": [\n\t\t"https://other"\n\t],\n\t"a": 1\n}`)).toBe(
      `{\n\t"${KEY}": [\n\t\t"${MIRROR}",\n\t\t"https://other"\n\t],\n\t"a": 1\n}`
    )
    expect(add(`{ "${KEY}": [] }`)).toBe(`{ "${KEY}": ["${MIRROR}"] }`)
  })

  test('makes a file of its own where there is none, or an empty one', () => {
    for (const text of ['', ' \n']) expect(JSON.parse(add(text) ?? '')).toEqual({ [KEY]: [MIRROR] })
  })

  test('is not added twice', () => {
    expect(add(`{"${KEY}": ["https://other", "${MIRROR}"]}`)).toBeUndefined()
  })

  test('is taken out with its list only if that was made for it', () => {
    const text = `{"a": 1, "${KEY}": ["${MIRROR}"]}`
    expect(JSON.parse(take(text, true) ?? '')).toEqual({ a: 1 })
    expect(JSON.parse(take(text, false) ?? '')).toEqual({ a: 1, [KEY]: [] })
    expect(JSON.parse(take(`{"${KEY}": ["${MIRROR}", "https://other"]}`, true) ?? '')).toEqual({
      [KEY]: ['https://other']
    })
    expect(take('{}', true)).toBeUndefined()
  })

  test('changes nothing else of any object, and taken out leaves what was there', () => {
    const settings = fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      fc.jsonValue()
    )
    fc.assert(
      fc.property(settings, fc.constantFrom(undefined, 0, 2, '\t'), (object, indent) => {
        const { [KEY]: _, ...others } = object
        const text = JSON.stringify(others, null, indent)
        const added = add(text) ?? ''
        expect(JSON.parse(added)).toEqual(JSON.parse(JSON.stringify({ ...others, [KEY]: [MIRROR] })))
        expect(JSON.parse(take(added, true) ?? '')).toEqual(JSON.parse(text))
      })
    )
  })
})

describe('refused is', () => {
  test('what is no JSON, with the line', () => {
    expect(() => add('{\n  "a": 1,\n  // no\n}')).toThrow(/^daemon\.json:3 is no JSON \(InvalidCommentToken\)/)
    expect(() => add('{\n  "a": 1\n  "b": 2\n}')).toThrow(/^daemon\.json:3 is no JSON \(CommaExpected\)/)
    expect(() => add('{"a": 1,}')).toThrow(/^daemon\.json:1 is no JSON/)
  })

  test('what is no object, or no list of strings', () => {
    expect(() => add('[]')).toThrow(/holds no JSON object/)
    expect(() => add(`{"${KEY}": "https://other"}`)).toThrow(/registry-mirrors is no list of strings/)
  })

  test('a key that is there twice, since each reader may take another one', () => {
    expect(() => add(`{"${KEY}": ["https://a"], "${KEY}": ["https://b"]}`)).toThrow(/can not be changed safely/)
  })
})
