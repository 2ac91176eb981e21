import { describe, expect, it } from 'vitest'
import { parseJoinAddress } from './supervisor.ts'

describe('join addresses', () => {
  it.each([
    ['/ip4/10.0.0.1/tcp/5002', '/ip4/10.0.0.1/tcp/5002'],
    [
      '/ip4/10.0.0.1/tcp/5002/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf',
      '/ip4/10.0.0.1/tcp/5002/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf'
    ],
    ['/dns4/seed.example/tcp/5002', '/dns4/seed.example/tcp/5002']
  ])('%s is a multiaddr', (text, address) => {
    const parsed = parseJoinAddress(text)
    expect(parsed.kind === 'multiaddr' && parsed.address.toString()).toBe(address)
  })

  it.each([
    ['layermesh.kube-system.svc:5002', 'layermesh.kube-system.svc', 5002],
    ['dns:mesh:80', 'mesh', 80],
    ['[::1]:5002', '::1', 5002]
  ])('%s is a name to look up', (text, host, port) => {
    expect(parseJoinAddress(text)).toEqual({ kind: 'name', host, port })
  })

  it.each(['', 'seed', 'seed:0', 'seed:70000', 'seed:x', '/ip4/300.0.0.1/tcp/1', '/what/ever', 'http://seed:5002'])(
    '%s is refused',
    (text) => {
      expect(() => parseJoinAddress(text)).toThrow(expect.objectContaining({ code: 'ADDRESS_INVALID' }))
    }
  )
})
