import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parseJoinAddress, type SupervisedHost, Supervisor } from './supervisor.ts'

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

describe('a supervisor', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** A node with these peers, and when it dialled its join address, in ms since the start. */
  function supervised(peers: string[]) {
    const events = new EventTarget()
    const dials: number[] = []
    const startedAt = performance.now()
    const host = {
      addEventListener: events.addEventListener.bind(events),
      getPeers: () => peers,
      getMultiaddrs: () => [],
      getConnections: () => [],
      dial: async () => {
        dials.push(performance.now() - startedAt)
        throw new Error('nobody is there')
      }
    } as unknown as SupervisedHost
    const join = [parseJoinAddress('/ip4/10.0.0.1/tcp/5002')]
    const supervisor = new Supervisor(host, { join, seeds: () => ['seed'], onFailure: () => {} })
    const change = (type: 'peer:connect' | 'peer:disconnect', peer: string, left: string[]) => {
      peers.splice(0, peers.length, ...left)
      events.dispatchEvent(new CustomEvent(type, { detail: peer }))
    }
    supervisor.start()
    return { supervisor, dials, change }
  }

  it('dials again soon, and then less and less often, while nobody is there', async () => {
    const { supervisor, dials } = supervised([])
    await vi.advanceTimersByTimeAsync(30_000)
    expect(dials.length).toBeGreaterThanOrEqual(9)
    expect(dials[1]).toBeLessThanOrEqual(250)
    await supervisor.stop()
  })

  it('looks for a seed that it lost, though others are there, until it is found', async () => {
    const { supervisor, dials, change } = supervised(['seed', 'other'])
    await vi.advanceTimersByTimeAsync(30_000)
    expect(dials).toHaveLength(1)
    change('peer:disconnect', 'seed', ['other'])
    await vi.advanceTimersByTimeAsync(5_000)
    expect(dials.length).toBeGreaterThanOrEqual(5)
    change('peer:connect', 'seed', ['seed', 'other'])
    await vi.advanceTimersByTimeAsync(10_000)
    const found = dials.length
    await vi.advanceTimersByTimeAsync(40_000)
    expect(dials).toHaveLength(found)
    await supervisor.stop()
  })

  it('leaves it at that when it lost one of several that is no seed', async () => {
    const { supervisor, dials, change } = supervised(['seed', 'other'])
    await vi.advanceTimersByTimeAsync(1)
    change('peer:disconnect', 'other', ['seed'])
    await vi.advanceTimersByTimeAsync(50_000)
    expect(dials).toHaveLength(1)
    await supervisor.stop()
  })
})
