import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { costOf, formatHtpasswd, isUserName, parseHtpasswd } from './htpasswd-file.ts'

const DIGITS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.'
const hash = (cost = '10', version = '2y') => `$${version}$${cost}$${DIGITS}`

const refusal = (message: string | RegExp) =>
  expect.objectContaining({ code: 'HTPASSWD_INVALID', message: expect.stringMatching(message) })

describe('an htpasswd file', () => {
  it('lists users with their hashes, and may hold comments, empty lines and other line ends', () => {
    const text = `# users\r\nalice:${hash('05')}\r\n\n  \nbob smith:${hash('12', '2b')} \nüser:${hash('15', '2a')}`
    expect([...parseHtpasswd(text, 'f')]).toEqual([
      ['alice', hash('05')],
      ['bob smith', hash('12', '2b')],
      ['üser', hash('15', '2a')]
    ])
    expect(parseHtpasswd('', 'f').size).toBe(0)
  })

  it.each([
    ['MD5', '$apr1$7Cpn0mOG$XR2J1mTtHuK5FJ1XAxOPk.', /not bcrypt.*htpasswd -B/],
    ['SHA-1', '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=', /not bcrypt/],
    ['SHA-512', '$6$salt$hash', /not bcrypt/],
    ['crypt', 'rqXexS6ZhobKA', /not bcrypt/],
    ['a password', 'hunter2', /not bcrypt/],
    ['nothing', '', /not bcrypt/],
    ['a version that had a fault', hash('10', '2x'), /not bcrypt/],
    ['a cut hash', hash().slice(0, -1), /not bcrypt/],
    ['a cost that takes minutes', hash('31'), /cost 31.*5 to 15/],
    ['a cost just too high', hash('16'), /cost 16/],
    ['a cost that is too low', hash('04'), /cost 4/]
  ])('is refused with its line when it holds %s for a hash', (_, value, message) => {
    const parse = () => parseHtpasswd(`alice:${hash()}\n\nbob:${value}`, '/etc/users')
    expect(parse).toThrow(refusal(message))
    expect(parse).toThrow(/^\/etc\/users:3: /)
  })

  it.each(['no colon', ':', `:${hash()}`, ` alice:${hash()}`, `a\tb:${hash()}`, `alice :${hash()}`, `\0:${hash()}`])(
    'is refused when a line is %j',
    (line) => {
      expect(() => parseHtpasswd(line, 'f')).toThrow(refusal('f:1: expected USER:HASH'))
    }
  )

  it('is refused when a user has two lines', () => {
    expect(() => parseHtpasswd(`a:${hash()}\nb:${hash()}\na:${hash()}`, 'f')).toThrow(refusal('f:3: this user has'))
  })

  it('never shows what stands in it', () => {
    expect(() => parseHtpasswd('alice:hunter2', 'f')).toThrow(
      expect.objectContaining({ message: expect.not.stringMatching(/hunter2|alice/) })
    )
  })

  it('is read back as it was written', () => {
    const user = fc.string({ unit: 'grapheme', maxLength: 60 }).filter(isUserName)
    const table = fc.uniqueArray(user).map((names) => new Map(names.map((name) => [name, hash()])))
    fc.assert(
      fc.property(table, (users) => {
        expect(parseHtpasswd(formatHtpasswd(users), 'f')).toEqual(users)
      })
    )
  })

  it('is read or refused, whatever it holds', () => {
    const line = fc.oneof(
      fc.string(),
      fc.string().map((name) => `${name}:${hash()}`)
    )
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        try {
          parseHtpasswd(lines.join('\n'), 'f')
        } catch (error) {
          expect(error).toEqual(refusal(/^f:\d+: /))
        }
      })
    )
  })
})

it('tells the cost of a hash', () => {
  expect(costOf(hash('07'))).toBe(7)
})
