import { ConfigError } from '@layermesh/node'
import { expect, it } from 'vitest'
import { CliFailure, explain } from './failure.ts'

function systemError(code: string, details: object = {}): Error {
  return Object.assign(new Error(`${code}: something`), { code, ...details })
}

it('ends with 2 on wrong usage and with 1 on failures', () => {
  expect(explain(new CliFailure('USAGE', 'no'))).toEqual({ line: 'no', exitCode: 2 })
  expect(explain(new CliFailure('FAILED', 'no'))).toEqual({ line: 'no', exitCode: 1 })
  expect(explain(new Error('no')).exitCode).toBe(1)
  expect(explain('no')).toEqual({ line: 'no', exitCode: 1 })
})

it('takes a wrong setting for wrong usage only when a flag held it', () => {
  const byFlag = new ConfigError('INVALID_VALUE', 'no', { origin: { kind: 'flag', flag: '--zone' } })
  const byFile = new ConfigError('INVALID_VALUE', 'no', { origin: { kind: 'file', file: 'f', line: 1 } })
  expect(explain(byFlag)).toEqual({ line: '--zone: no', exitCode: 2 })
  expect(explain(byFile)).toEqual({ line: 'f:1: no', exitCode: 1 })
})

it('says what to do about what the system refused, also deep inside', () => {
  expect(explain(systemError('EADDRINUSE', { address: '127.0.0.1', port: 5000 })).line).toMatch(
    /^another program listens on 127\.0\.0\.1:5000 .*--listen/
  )
  expect(explain(systemError('EACCES', { path: '/data' })).line).toContain('/data')
  expect(explain(systemError('ENOSPC')).line).toContain('full')
  const locked = new Error('could not open', { cause: systemError('LEVEL_LOCKED') })
  expect(explain(locked).line).toContain('another node runs on this data directory')
})

it('finds the reason in what libp2p says of addresses', () => {
  const error = new Error('Some addresses failed:\n\n  /ip4/127.0.0.1/tcp/5002: listen EADDRINUSE\n')
  error.name = 'UnsupportedListenAddressesError'
  expect(explain(error).line).toBe(
    'can not listen for other nodes on /ip4/127.0.0.1/tcp/5002: listen EADDRINUSE; choose another address with --mesh'
  )
})

it('is one line, whatever the message', () => {
  expect(explain(new Error('first\nsecond')).line).toBe('first')
  expect(explain(new TypeError('')).line).toBe('TypeError')
})
