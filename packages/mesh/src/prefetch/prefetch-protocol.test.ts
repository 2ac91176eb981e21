import { digestOf, OciError } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type { PrefetchHandler, PrefetchReport, PrefetchRequest } from '../interfaces.ts'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { call } from '../network/rpc.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MeshFixture, until } from '../testing/mesh-fixture.ts'
import { encodeFields } from '../wire/fields.ts'
import { decodePrefetchMessage, encodeReport } from './messages.ts'

const REQUEST: PrefetchRequest = { reference: 'team/app:1', platform: 'all', deadlineMs: 60_000 }
const DONE: PrefetchReport = { state: 'done', size: 10, heldBytes: 10, receivedBytes: 7, digest: digestOf(Buffer.of()) }
const { signal } = new AbortController()

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(async () => {
  vi.restoreAllMocks()
  await fixture[Symbol.asyncDispose]()
})

async function collect(reports: AsyncIterable<PrefetchReport>): Promise<PrefetchReport[]> {
  const all: PrefetchReport[] = []
  for await (const report of reports) all.push(report)
  return all
}

it('brings the reports of a peer until it is done', async () => {
  const reports: PrefetchReport[] = [
    { state: 'waiting', size: 0, heldBytes: 0, receivedBytes: 0 },
    { state: 'fetching', size: 10, heldBytes: 3, receivedBytes: 0 },
    DONE
  ]
  const asked: unknown[] = []
  const prefetchHandler: PrefetchHandler = {
    async *fetch(from, request) {
      asked.push([from, request])
      yield* reports
    }
  }
  const peer = await fixture.node({ prefetchHandler })
  const node = await fixture.node({ join: peer.mesh.addresses })
  expect(await collect(node.mesh.prefetches.fetch(peer.mesh.peerId, REQUEST, signal))).toEqual(reports)
  expect(asked).toEqual([[node.mesh.peerId, REQUEST]])
})

it('brings the refusal of a peer', async () => {
  const peer = await fixture.node({
    prefetchHandler: {
      fetch: () => {
        throw new OciError('DENIED', 'not for you')
      }
    }
  })
  const node = await fixture.node({ join: peer.mesh.addresses })
  const asked = collect(node.mesh.prefetches.fetch(peer.mesh.peerId, REQUEST, signal))
  await expect(asked).rejects.toMatchObject({ code: 'DENIED', message: 'not for you' })
})

it('tells the peer when the asker leaves', async () => {
  let left = false
  const peer = await fixture.node({
    prefetchHandler: {
      async *fetch(_from, _request, gone) {
        yield { state: 'fetching', size: 1, heldBytes: 0, receivedBytes: 0 }
        await new Promise((resolve) => gone.addEventListener('abort', resolve))
        left = true
      }
    }
  })
  const node = await fixture.node({ join: peer.mesh.addresses })
  for await (const { state } of node.mesh.prefetches.fetch(peer.mesh.peerId, REQUEST, signal)) {
    expect(state).toBe('fetching')
    break
  }
  await until(() => left)
})

it('finds peers that are connected to nobody else than to a peer of a peer', async () => {
  const first = await fixture.node({ self: { version: 'test', role: 'seed', zone: 'a' } })
  const middle = await fixture.node({ join: first.mesh.addresses, self: { version: 'test', role: 'node', zone: 'b' } })
  await until(() => middle.mesh.peers().some(({ zone }) => zone === 'a'))
  const last = await fixture.node({ join: middle.mesh.addresses, self: { version: 'test', role: 'node', zone: 'c' } })
  await until(() => middle.mesh.peers().some(({ zone }) => zone === 'c'))
  const members = await first.mesh.members(signal)
  expect(members.toSorted((a, b) => a.zone.localeCompare(b.zone))).toEqual([
    { peerId: middle.mesh.peerId, zone: 'b', role: 'node' },
    { peerId: last.mesh.peerId, zone: 'c', role: 'node' }
  ])
})

it('says of a peer that knows no such protocol that it is another version', async () => {
  const old = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
  const node = await fixture.node()
  await old.dial(node)
  const asked = collect(node.mesh.prefetches.fetch(old.peerId, REQUEST, signal))
  await expect(asked).rejects.toMatchObject({ code: 'UNSUPPORTED' })
})

it('tells a later version what is not known here, and shuts out who sends what can not be read', async () => {
  const node = await fixture.node()
  const peer = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
  await peer.dial(node)
  const options = { protocol: PROTOCOL.prefetch, deadlineMs: 60_000, signal }
  const answer = await call(peer.host, node.mesh.peerId, encodeFields({ op: 'dance' }), options)
  expect(Buffer.from(answer).toString()).toContain('UNSUPPORTED')
  expect(node.observer.bans).toEqual([])
  await call(peer.host, node.mesh.peerId, encodeFields({ op: 'fetch', reference: 7 }), options).catch(() => {})
  await until(() => node.observer.bans.length > 0)
  expect(node.observer.bans).toMatchObject([{ peerId: peer.peerId, reason: 'malformed' }])
})

it('does not believe a peer that reports what can not be', async () => {
  const liar = await hostileHost(fixture, {
    protocol: PROTOCOL.prefetch,
    answer: () => encodeReport({ ...DONE, state: 'dancing' as 'done' })
  })
  const node = await fixture.node()
  await liar.dial(node)
  const asked = collect(node.mesh.prefetches.fetch(liar.peerId, REQUEST, signal))
  await expect(asked).rejects.toMatchObject({ code: 'PEER_MISBEHAVED' })
})

it('answers nobody more than the burst', async () => {
  const node = await fixture.node()
  const peer = await hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })
  await peer.dial(node)
  const options = { protocol: PROTOCOL.prefetch, deadlineMs: 60_000, signal }
  // However slow this machine is, no more is allowed meanwhile.
  vi.spyOn(performance, 'now').mockReturnValue(performance.now())
  let refused = 0
  for (let i = 0; i < LIMITS.prefetchBurst + 5; i++) {
    await call(peer.host, node.mesh.peerId, encodeFields({ op: 'members' }), options).catch(() => refused++)
  }
  expect(refused).toBe(5)
})

it('reads no deadline beyond what a node keeps at it', () => {
  const fields = { op: 'fetch', reference: 'a', deadlineMs: LIMITS.prefetchDeadlineMs + 1 }
  expect(() => decodePrefetchMessage(encodeFields(fields))).toThrow('deadlineMs')
})
