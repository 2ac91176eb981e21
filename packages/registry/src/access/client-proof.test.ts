import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { expect, it } from 'vitest'
import { clientAddress, schemeOf } from './client-proof.ts'

function requestFrom(remoteAddress: string, forwarded?: string): IncomingMessage {
  const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress })
  const request = new IncomingMessage(socket)
  if (forwarded !== undefined) request.headers['x-forwarded-for'] = forwarded
  return request
}

it.each([
  ['10.0.0.1', undefined, false, '10.0.0.1'],
  ['::ffff:10.0.0.1', undefined, false, '10.0.0.1'],
  ['::1', undefined, false, '::1'],
  ['10.0.0.1', '1.1.1.1', false, '10.0.0.1'],
  ['10.0.0.1', '1.1.1.1', true, '1.1.1.1'],
  ['10.0.0.1', '9.9.9.9, 1.1.1.1', true, '1.1.1.1'],
  ['10.0.0.1', '2001:db8::1', true, '2001:db8::1'],
  ['10.0.0.1', '1.1.1.1, unknown', true, '10.0.0.1'],
  ['10.0.0.1', '', true, '10.0.0.1'],
  ['10.0.0.1', undefined, true, '10.0.0.1']
])('from %s, forwarded for %s, behind a proxy: %s, a request comes from %s', (socket, forwarded, proxy, address) => {
  expect(clientAddress(requestFrom(socket, forwarded), proxy)).toBe(address)
})

it('came by TLS when the proxy before says so', () => {
  expect([schemeOf(requestFrom('::1'), false), schemeOf(requestFrom('::1'), true)]).toEqual(['http', 'https'])
})
