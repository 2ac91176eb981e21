import { MeshError, type MeshMember, type PrefetchReport, type PrefetchRequest } from '@layermesh/mesh'
import { digestOf, OciError } from '@layermesh/oci'
import { expect, it } from 'vitest'
import type { NodePrefetch } from '../admin/view.ts'
import { Prefetcher, type PrefetcherOptions, type PrefetchTargets } from './prefetcher.ts'

const REQUEST: PrefetchRequest = { reference: 'team/app:1', deadlineMs: 60_000 }
const FETCHING: PrefetchReport = { state: 'fetching', size: 10, heldBytes: 5, receivedBytes: 5 }
const DONE: PrefetchReport = {
  state: 'done',
  size: 10,
  heldBytes: 10,
  receivedBytes: 10,
  digest: digestOf(Buffer.of())
}
const GONE = new MeshError('PEER_UNREACHABLE', 'gone')
const { signal } = new AbortController()

const member = (peerId: string, zone: string): MeshMember => ({ peerId, zone, role: 'node' })

/** What a node answers, attempt by attempt; an error is thrown where it stands. */
type Script = readonly (readonly (PrefetchReport | Error)[])[]

function make(scripts: Record<string, Script>, options: Partial<PrefetcherOptions> = {}) {
  const state = { running: 0, mostRunning: 0 }
  const attempts = new Map<string, number>()
  const told: NodePrefetch[] = []
  async function* answer(peerId: string): AsyncGenerator<PrefetchReport> {
    const attempt = attempts.get(peerId) ?? 0
    attempts.set(peerId, attempt + 1)
    state.running++
    state.mostRunning = Math.max(state.mostRunning, state.running)
    try {
      const script = scripts[peerId] ?? [[GONE]]
      for (const step of script[Math.min(attempt, script.length - 1)] ?? []) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        if (step instanceof Error) throw step
        yield step
      }
    } finally {
      state.running--
    }
  }
  const prefetcher = new Prefetcher(
    {
      self: member('me', 'a'),
      client: { fetch: (peerId) => answer(peerId) },
      jobs: { follow: () => answer('me') },
      connected: () => [member('a1', 'a')],
      members: async () => [member('a1', 'a'), member('a2', 'a'), member('b1', 'b')]
    },
    { minPauseMs: 1, maxPauseMs: 1, ...options }
  )
  const run = (targets: Partial<PrefetchTargets>, request: Partial<PrefetchRequest> = {}) =>
    prefetcher.prefetch(
      { ...REQUEST, ...request },
      { nodes: [], zones: [], all: false, ...targets },
      (node) => told.push(node),
      signal
    )
  const lastOf = (peerId: string) => told.filter((node) => node.peerId === peerId).at(-1)
  return { run, told, lastOf, state, attempts }
}

const GOOD: Script = [[FETCHING, DONE]]

it('has the nodes of a zone fetch, this one too, and tells how far each is', async () => {
  const { run, told, attempts } = make({ me: GOOD, a1: GOOD, a2: GOOD, b1: GOOD })
  expect(await run({ zones: ['a'] })).toEqual({ nodes: 3, failed: 0 })
  expect([...attempts.keys()].toSorted()).toEqual(['a1', 'a2', 'me'])
  expect(told.filter(({ peerId }) => peerId === 'a2').map(({ state }) => state)).toEqual([
    'connecting',
    'fetching',
    'done'
  ])
})

it('has all nodes fetch, or those that are named', async () => {
  expect(await make({ me: GOOD, a1: GOOD, a2: GOOD, b1: GOOD }).run({ all: true })).toEqual({ nodes: 4, failed: 0 })
  const named = make({ stranger: GOOD, a1: GOOD })
  expect(await named.run({ nodes: ['stranger', 'a1'] })).toEqual({ nodes: 2, failed: 0 })
  expect([named.lastOf('stranger')?.zone, named.lastOf('a1')?.zone]).toEqual(['unknown', 'a'])
})

it('says that a zone has no nodes', async () => {
  await expect(make({}).run({ zones: ['nowhere'] })).rejects.toMatchObject({ code: 'NO_NODES' })
})

it('asks a node again that was lost in the middle, until it is done', async () => {
  const { run, told } = make({ a1: [[FETCHING, GONE], [GONE], [FETCHING, DONE]] })
  expect(await run({ nodes: ['a1'] })).toEqual({ nodes: 1, failed: 0 })
  expect(told.map(({ state }) => state)).toEqual(['connecting', 'fetching', 'lost', 'lost', 'fetching', 'done'])
})

it('asks a node again that came back and knows nobody yet', async () => {
  const unknown = new OciError('MANIFEST_UNKNOWN', 'no node knows it')
  const back = make({ a1: [[FETCHING, GONE], [unknown], [unknown], [DONE]] })
  expect(await back.run({ nodes: ['a1'] })).toEqual({ nodes: 1, failed: 0 })
  const never = make({ a1: [[FETCHING, GONE], [unknown]] })
  expect(await never.run({ nodes: ['a1'] })).toEqual({ nodes: 1, failed: 1 })
})

it('gives a node up that can not be reached, and tells of it', async () => {
  const { run, lastOf } = make({ a1: GOOD }, { unreachableAfterMs: 5 })
  expect(await run({ nodes: ['a1', 'dead'] })).toEqual({ nodes: 2, failed: 1 })
  expect(lastOf('dead')).toMatchObject({ state: 'failed', error: { code: 'UNREACHABLE' } })
})

it('waits for a lost node until the deadline, not longer', async () => {
  const { run, lastOf } = make({ a1: [[FETCHING, GONE], [GONE]] }, { unreachableAfterMs: 1 })
  expect(await run({ nodes: ['a1'] }, { deadlineMs: 50 })).toEqual({ nodes: 1, failed: 1 })
  expect(lastOf('a1')).toMatchObject({ state: 'failed', heldBytes: 5, error: { code: 'DEADLINE' } })
})

it.each([
  ['DENIED', new OciError('DENIED', 'for seeds only')],
  ['MANIFEST_UNKNOWN', new OciError('MANIFEST_UNKNOWN', 'nobody has it')],
  ['UNSUPPORTED', new MeshError('UNSUPPORTED', 'another version')]
])('does not ask again what is settled: %s', async (code, error) => {
  const { run, lastOf, attempts } = make({ a1: [[error]] })
  expect(await run({ nodes: ['a1'] })).toEqual({ nodes: 1, failed: 1 })
  expect([attempts.get('a1'), lastOf('a1')?.error?.code]).toEqual([1, code])
})

it('asks no more nodes at one time than it may', async () => {
  const { run, state } = make({ me: GOOD, a1: GOOD, a2: GOOD, b1: GOOD }, { concurrency: 2 })
  expect(await run({ all: true })).toEqual({ nodes: 4, failed: 0 })
  expect(state.mostRunning).toBe(2)
})
