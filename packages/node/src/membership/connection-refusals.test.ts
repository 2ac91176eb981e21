import { expect, it } from 'vitest'
import { ConnectionRefusals } from './connection-refusals.ts'

it('logs no more than a few of however many strangers', () => {
  let now = 0
  let lines = 0
  const refusals = new ConnectionRefusals({ count: () => {}, log: { warn: () => lines++ }, now: () => now })
  const knock = () => {
    for (let i = 0; i < 1_000; i++) refusals.refused({ reason: 'not-a-member', peerId: `p${i}`, detail: 'd' })
  }
  knock()
  expect(lines).toBe(20)
  now = 60_000
  knock()
  expect(lines).toBe(40)
})

it('counts every refused connection, and logs each peer and reason once in a minute', () => {
  let now = 0
  const counted: string[] = []
  const logged: object[] = []
  const refusals = new ConnectionRefusals({
    count: (reason) => counted.push(reason),
    log: { warn: (fields) => logged.push(fields) },
    now: () => now
  })
  for (let i = 0; i < 3; i++) refusals.refused({ reason: 'not-a-member', peerId: 'p', detail: 'd' })
  refusals.refused({ reason: 'revoked', peerId: 'p', detail: 'd' })
  refusals.refused({ reason: 'handshake', detail: 'd' })
  expect(counted).toEqual(['not-a-member', 'not-a-member', 'not-a-member', 'revoked', 'handshake'])
  expect(logged).toHaveLength(3)
  now = 60_000
  refusals.refused({ reason: 'not-a-member', peerId: 'p', detail: 'd' })
  expect(logged.at(-1)).toEqual({ reason: 'not-a-member', peerId: 'p', detail: 'd', moreBefore: 2 })
})
