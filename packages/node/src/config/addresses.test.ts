import { expect, it } from 'vitest'
import { formatHostPort, isJoinAddress, isLoopback, parseListenAddress, parseTcpMultiaddr } from './addresses.ts'

const PEER = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'

it('reads host and port, IPv6 in brackets', () => {
  expect(parseListenAddress('127.0.0.1:5000')).toEqual({ host: '127.0.0.1', port: 5000 })
  expect(parseListenAddress('[::1]:0')).toEqual({ host: '::1', port: 0 })
  expect(parseListenAddress('localhost:65535')).toEqual({ host: 'localhost', port: 65_535 })
})

it('writes host and port as it reads them', () => {
  for (const text of ['127.0.0.1:5000', '[::1]:80', 'node-1.example:1']) {
    const address = parseListenAddress(text)
    expect(address && formatHostPort(address)).toBe(text)
  }
})

it('refuses what is no host and port', () => {
  for (const text of [
    '',
    '5000',
    ':5000',
    'host',
    '::1:5000',
    '1.2.3:5000',
    'a/b:1',
    'h:65536',
    'h:-1',
    '[h]:1',
    'h :1'
  ]) {
    expect(parseListenAddress(text), text).toBeUndefined()
  }
})

it('reads multiaddrs of TCP, with or without a peer id', () => {
  expect(parseTcpMultiaddr('/ip4/0.0.0.0/tcp/5002')).toEqual({ host: '0.0.0.0', port: 5002 })
  expect(parseTcpMultiaddr(`/ip6/::1/tcp/1/p2p/${PEER}`)).toEqual({ host: '::1', port: 1, peerId: PEER })
  expect(parseTcpMultiaddr('/dns4/seed.example/tcp/5002')?.host).toBe('seed.example')
})

it('refuses multiaddrs of other transports and crooked ones', () => {
  const crooked = [
    '/ip4/1.2.3.4/udp/1/quic-v1',
    '/ip4/::1/tcp/1',
    '/ip4/1.2.3/tcp/1',
    '/ip4/1.2.3.4/tcp/70000',
    '/tcp/1'
  ]
  for (const text of [...crooked, '/ip4/1.2.3.4/tcp/1/p2p/x', '/ip4/1.2.3.4/tcp/1/']) {
    expect(parseTcpMultiaddr(text), text).toBeUndefined()
  }
})

it('knows the three ways to name a place to join', () => {
  const good = [
    '/ip4/10.0.0.1/tcp/5002',
    `/dns/seed/tcp/5002/p2p/${PEER}`,
    'mesh.svc:5002',
    'dns:mesh.svc:5002',
    '10.0.0.1:5002'
  ]
  for (const text of good) expect(isJoinAddress(text), text).toBe(true)
  for (const text of ['mesh.svc', '/ip4/10.0.0.1', 'dns:mesh', 'mesh:0', 'http://mesh:1']) {
    expect(isJoinAddress(text), text).toBe(false)
  }
})

it('knows loopback', () => {
  for (const host of ['127.0.0.1', '127.8.9.1', '::1', 'localhost']) expect(isLoopback(host), host).toBe(true)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example']) expect(isLoopback(host), host).toBe(false)
})
