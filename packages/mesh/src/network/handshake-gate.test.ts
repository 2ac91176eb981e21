import type { MultiaddrConnection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, it } from 'vitest'
import { LIMITS } from '../limits.ts'
import { HandshakeGate } from './handshake-gate.ts'

/** As much of a connection as the gate looks at. */
function connectionFrom(address: string): MultiaddrConnection {
  return Object.assign(new EventTarget(), {
    remoteAddr: multiaddr(address),
    status: 'open'
  }) as unknown as MultiaddrConnection
}

const close = (connection: MultiaddrConnection) =>
  (connection as unknown as EventTarget).dispatchEvent(new Event('close'))

it('leaves room for others while one address has many handshakes under way', () => {
  let now = 0
  const gate = new HandshakeGate(() => now)
  const slow = Array.from({ length: LIMITS.pendingHandshakesPerAddress }, (_, i) =>
    connectionFrom(`/ip4/10.0.0.1/tcp/${i + 1}`)
  )
  expect(slow.every((connection) => gate.mayBegin(connection))).toBe(true)
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.1/tcp/9999'))).toBe(false)
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.2/tcp/1'))).toBe(true)
  const [first, second] = slow
  if (!first || !second) throw new Error('none')
  gate.finished(first)
  gate.finished(first)
  close(first)
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.1/tcp/10000'))).toBe(true)
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.1/tcp/10001'))).toBe(false)
  close(second)
  now = 10
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.1/tcp/10002'))).toBe(true)
})

it('counts none that has ended before it began', () => {
  const gate = new HandshakeGate(() => 0)
  const ended = Object.assign(connectionFrom('/ip4/10.0.0.1/tcp/1'), { status: 'closed' })
  for (let i = 0; i < LIMITS.pendingHandshakesPerAddress; i++) expect(gate.mayBegin(ended)).toBe(false)
  expect(gate.mayBegin(connectionFrom('/ip4/10.0.0.1/tcp/2'))).toBe(true)
})

it('has so many begin at once and then so many in a second, from however many addresses', () => {
  let now = 0
  const gate = new HandshakeGate(() => now)
  let host = 0
  const begin = (count: number) =>
    Array.from({ length: count }, () => gate.mayBegin(connectionFrom(`/ip4/10.${host >> 8}.${host++ & 255}.1/tcp/1`)))
  expect(begin(LIMITS.handshakeBurst + 50).filter(Boolean)).toHaveLength(LIMITS.handshakeBurst)
  now = 1_000
  expect(begin(LIMITS.handshakesPerSecond + 50).filter(Boolean)).toHaveLength(LIMITS.handshakesPerSecond)
})
