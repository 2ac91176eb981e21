import { expect, it } from 'vitest'
import { parseHeaders } from './headers.ts'
import { parseSecrets } from './secrets.ts'

const PLAIN = 'a-secret-of-more-than-24-bytes'

it('takes one secret a line, in base64 after whsec_ and else as it is', () => {
  const bytes = Buffer.alloc(24, 7)
  const secrets = parseSecrets(`\n whsec_${bytes.toString('base64')} \r\n\n${PLAIN}\n`)
  expect(secrets.map((secret) => Buffer.from(secret))).toEqual([bytes, Buffer.from(PLAIN)])
})

it('refuses what is no secret, without telling what it is', () => {
  const wrong = [
    '',
    '\n\n',
    'short',
    `whsec_${'!'.repeat(40)}`,
    'whsec_c2hvcnQ=',
    `${PLAIN}\n`.repeat(9),
    'x'.repeat(300)
  ]
  for (const text of wrong) {
    expect(() => parseSecrets(text), text).toThrow(TypeError)
    expect(() => parseSecrets(text)).toThrow(/^(?!.*(short|!!|c2hvcn|a-secret|xxx))/)
  }
})

it('reads headers, and refuses those that the delivery sets itself', () => {
  expect(parseHeaders('Authorization: Bearer abc\n\nX-Team:  red  ')).toEqual({
    authorization: 'Bearer abc',
    'x-team': 'red'
  })
  for (const text of ['webhook-id: 1', 'Content-Length: 3', 'Host: a', 'no header', 'a b: c', 'a: b\u0000c', 'x:']) {
    expect(() => parseHeaders(text), text).toThrow(TypeError)
  }
  expect(() => parseHeaders('Authorization secret')).toThrow(/^(?!.*secret)/)
})
