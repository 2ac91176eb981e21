import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Challenge, parseChallenges } from './challenge.ts'

const plain = (challenges: readonly Challenge[]) =>
  challenges.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

const read = (...fields: string[]) => plain(parseChallenges(fields))

it('reads what registries send', () => {
  expect(
    read(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push"'
    )
  ).toEqual([
    [
      'bearer',
      {
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:library/nginx:pull,push'
      }
    ]
  ])
  expect(read('Basic realm="https://123.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"')).toEqual([
    ['basic', { realm: 'https://123.dkr.ecr.eu-west-1.amazonaws.com/', service: 'ecr.amazonaws.com' }]
  ])
  expect(read('BEARER Realm = "r" , Error="invalid_token"')).toEqual([
    ['bearer', { realm: 'r', error: 'invalid_token' }]
  ])
})

it('reads several challenges in one field, and several fields', () => {
  const field =
    'Negotiate, Digest abc==, Basic realm="a, Bearer realm=\\"no\\"", Bearer realm="b",scope="x:y:pull,push"'
  expect(read(field, 'Basic')).toEqual([
    ['negotiate', {}],
    ['digest', {}],
    ['basic', { realm: 'a, Bearer realm="no"' }],
    ['bearer', { realm: 'b', scope: 'x:y:pull,push' }],
    ['basic', {}]
  ])
})

it.each([
  ['', []],
  [',,', []],
  ['="x"', []],
  ['realm="x"', []],
  ['Bearer realm="never closed', [['bearer', {}]]],
  ['Bearer realm="a",service=', [['bearer', { realm: 'a' }]]],
  ['Bearer realm="a" service="b"', [['bearer', {}]]],
  ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
  ['Bearer realm="a\nb"', [['bearer', {}]]],
  [`Bearer realm="${'a'.repeat(9_000)}"`, []]
])('makes the best of %j', (field, expected) => {
  expect(read(field)).toEqual(expected)
})

const ALPHA = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789-._~')
const token = fc.string({ unit: ALPHA, minLength: 1, maxLength: 12 })
const text = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 20
})
const space = fc.constantFrom('', ' ', '\t', '  ')
const comma = fc.tuple(space, fc.constantFrom(',', ', ,', ',,'), space).map((parts) => parts.join(''))

/** A parameter as it can be written, and as it is meant. */
const parameter = fc
  .record({ name: token, value: text, quoted: fc.boolean(), before: space, after: space })
  .map(({ name, value, quoted, before, after }) => {
    const bare = !quoted && /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value)
    const written = bare ? value : `"${value.replace(/["\\]/g, '\\$&')}"`
    return { name, value, written: `${name}${before}=${after}${written}` }
  })

const challenge = fc
  .record({
    scheme: token,
    parameters: fc.uniqueArray(parameter, { selector: ({ name }) => name, minLength: 1, maxLength: 4 }),
    separator: comma
  })
  .map(({ scheme, parameters, separator }) => ({
    written: `${scheme} ${parameters.map(({ written }) => written).join(separator)}`,
    meant: [scheme, Object.fromEntries(parameters.map(({ name, value }) => [name, value]))]
  }))

it('reads every list of challenges as it was meant', () => {
  fc.assert(
    fc.property(fc.array(challenge, { maxLength: 5 }), comma, (challenges, separator) => {
      const field = challenges.map(({ written }) => written).join(separator)
      expect(read(field)).toEqual(challenges.map(({ meant }) => meant))
    }),
    { numRuns: 2_000 }
  )
})

it('takes any text, and finds no parameter that does not stand there', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'aB="\\, \t/+~(\u00e9\n'), maxLength: 60 })
  fc.assert(
    fc.property(noise, (field) => {
      for (const { scheme, parameters } of parseChallenges([field])) {
        expect(field.toLowerCase()).toContain(scheme)
        for (const name of parameters.keys()) expect(field.toLowerCase()).toContain(name)
      }
    }),
    { numRuns: 5_000 }
  )
})

it('takes no time that grows faster than the text', () => {
  const long = ['"\\'.repeat(4_000), 'a '.repeat(4_000), 'a='.repeat(4_000), ','.repeat(8_000), 'a,'.repeat(4_000)]
  for (const field of long) expect(parseChallenges(Array.from({ length: 10 }, () => field)).length).toBeLessThan(17)
})
