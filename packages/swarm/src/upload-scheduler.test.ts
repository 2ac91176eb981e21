import { describe, expect, it } from 'vitest'
import { digest, MIB } from './testing/events.ts'
import type { UploadAction, UploadEvent } from './upload-events.ts'
import { UploadScheduler } from './upload-scheduler.ts'

type Requested = Extract<UploadEvent, { type: 'requested' }>

let lastRequest = 0
function requested(peer: string, piece: number, more: Partial<Requested> = {}): Requested {
  lastRequest++
  const defaults = { zone: 'here', pieces: 100, scope: 'zone', digest, bytes: MIB, whole: false } as const
  return { type: 'requested', request: lastRequest, peer, piece, ...defaults, ...more }
}

const sends = (actions: readonly UploadAction[]) => actions.flatMap((a) => (a.type === 'send' ? [a.request] : []))
const rejects = (actions: readonly UploadAction[]) => actions.flatMap((a) => (a.type === 'reject' ? [a.reason] : []))

describe('the order of uploads', () => {
  it('fills its slots and sends the next when one is free', () => {
    const scheduler = new UploadScheduler({ slots: 2 })
    const events = ['a', 'b', 'c'].map((peer, piece) => requested(peer, piece))
    const sent = events.map((event) => sends(scheduler.step(0, event)))
    const [first, second, third] = events.map(({ request }) => request)
    expect(sent).toEqual([[first], [second], []])
    expect(sends(scheduler.step(1, { type: 'finished', request: first ?? 0 }))).toEqual([third])
  })

  it('lets peers take turns, however much one asks for and whoever came first', () => {
    const scheduler = new UploadScheduler({ slots: 1 })
    const peers = new Map<number, string>()
    const ask = (peer: string, piece: number) => {
      const event = requested(peer, piece)
      peers.set(event.request, peer)
      return sends(scheduler.step(0, event))
    }
    let active = ask('greedy', 0)
    for (let piece = 1; piece < 20; piece++) ask('greedy', piece)
    for (let piece = 0; piece < 5; piece++) ask('late', piece)
    const order: string[] = []
    for (let now = 1; now <= 10; now++) {
      const [request = 0] = active
      active = sends(scheduler.step(now, { type: 'finished', request }))
      order.push(peers.get(active[0] ?? 0) ?? 'nobody')
    }
    expect(order.filter((peer) => peer === 'late')).toHaveLength(5)
    expect(order.indexOf('late')).toBeLessThan(2)
  })

  it('does not let peers that take nothing keep others from their slots', () => {
    const scheduler = new UploadScheduler({ slots: 2, stalledAfterMs: 500, maxStalled: 2 })
    for (const peer of ['stuck', 'stuck too']) scheduler.step(0, requested(peer, 0))
    expect(sends(scheduler.step(100, requested('well', 1)))).toEqual([])
    expect(sends(scheduler.step(600, { type: 'tick' }))).toHaveLength(1)
    scheduler.step(601, requested('well', 2))
    for (const peer of ['x', 'y', 'z']) scheduler.step(602, requested(peer, 3))
    // Two are stalled and two work: no more than that, however many wait.
    expect(sends(scheduler.step(603, { type: 'tick' }))).toEqual([])
  })

  it('refuses what one peer asks beyond its bound', () => {
    const scheduler = new UploadScheduler({ slots: 1, maxWaitingPerPeer: 2 })
    const answers = [0, 1, 2, 3].map((piece) => rejects(scheduler.step(0, requested('a', piece))))
    expect(answers).toEqual([[], [], [], ['busy']])
    expect(rejects(scheduler.step(0, requested('b', 0)))).toEqual([])
  })

  it('forgets what was taken back and who is gone', () => {
    const scheduler = new UploadScheduler({ slots: 1 })
    const [active, waiting, next] = [requested('a', 0), requested('a', 1), requested('b', 2)]
    for (const event of [active, waiting, next]) scheduler.step(0, event)
    scheduler.step(1, { type: 'cancelled', request: waiting.request })
    expect(sends(scheduler.step(2, { type: 'peer-gone', peer: 'a' }))).toEqual([next.request])
    scheduler.step(3, { type: 'finished', request: next.request })
    expect(scheduler.size).toBe(0)
  })

  it('keeps to the rates that it may give, to all and to far ones', () => {
    const scheduler = new UploadScheduler({ slots: 100, farBytesPerSecond: MIB, bytesPerSecond: 4 * MIB })
    const scopes = new Map<number, string>()
    const sent: (string | undefined)[] = []
    const step = (now: number, event: UploadEvent) => {
      for (const request of sends(scheduler.step(now, event))) {
        sent.push(scopes.get(request))
        step(now, { type: 'finished', request })
      }
    }
    for (let now = 0; now <= 10_000; now += 100) {
      for (const scope of ['far', 'zone'] as const) {
        const event = requested(scope, now, { scope, zone: scope })
        scopes.set(event.request, scope)
        step(now, event)
      }
    }
    const far = sent.filter((scope) => scope === 'far').length
    expect(far).toBeGreaterThanOrEqual(10)
    expect(far).toBeLessThanOrEqual(11)
    expect(sent.length).toBeGreaterThanOrEqual(40)
    expect(sent.length).toBeLessThanOrEqual(42)
  })
})

describe('a piece of a blob that is whole here', () => {
  const whole = { whole: true }

  it('is given to one member of a zone, and to one of each other zone', () => {
    const scheduler = new UploadScheduler()
    expect(sends(scheduler.step(0, requested('a', 0, whole)))).toHaveLength(1)
    expect(rejects(scheduler.step(0, requested('b', 0, whole)))).toEqual(['given'])
    expect(sends(scheduler.step(0, requested('b', 1, whole)))).toHaveLength(1)
    expect(sends(scheduler.step(0, requested('c', 0, { ...whole, zone: 'there', scope: 'far' })))).toHaveLength(1)
  })

  it('is given to the same member again, and to others a while after it was sent', () => {
    const scheduler = new UploadScheduler({ givenForMs: 5000 })
    const first = requested('a', 0, whole)
    scheduler.step(0, first)
    scheduler.step(10_000, { type: 'sent', request: first.request, bytes: 1 })
    expect(rejects(scheduler.step(10_000, requested('b', 0, whole)))).toEqual(['given'])
    scheduler.step(10_000, { type: 'finished', request: first.request })
    expect(sends(scheduler.step(10_001, requested('a', 0, whole)))).toHaveLength(1)
    const again = new UploadScheduler({ givenForMs: 5000 })
    again.step(0, first)
    again.step(1000, { type: 'finished', request: first.request })
    expect(rejects(again.step(5999, requested('b', 0, whole)))).toEqual(['given'])
    expect(sends(again.step(6000, requested('b', 0, whole)))).toHaveLength(1)
  })

  it('is given to another when the first is gone, or did not want it after all', () => {
    for (const end of ['gone', 'cancelled']) {
      const scheduler = new UploadScheduler({ slots: 1 })
      scheduler.step(0, requested('x', 9))
      const first = requested('a', 0, whole)
      scheduler.step(0, first)
      scheduler.step(
        1,
        end === 'gone' ? { type: 'peer-gone', peer: 'a' } : { type: 'cancelled', request: first.request }
      )
      expect(rejects(scheduler.step(2, requested('b', 0, whole)))).toEqual([])
    }
  })

  it('is given to all who want it when it is all of the blob', () => {
    const scheduler = new UploadScheduler()
    for (const peer of ['a', 'b', 'c']) {
      expect(sends(scheduler.step(0, requested(peer, 0, { whole: true, pieces: 1 })))).toHaveLength(1)
    }
  })

  it('is given to another when the first takes nothing of what is sent to it, but not while it only waits its turn', () => {
    const scheduler = new UploadScheduler({ slots: 1, promiseStallMs: 2500 })
    const [sending, waiting] = [requested('a', 0, whole), requested('b', 1, whole)]
    scheduler.step(0, sending)
    scheduler.step(0, waiting)
    scheduler.step(1000, { type: 'sent', request: sending.request, bytes: 1 })
    expect(rejects(scheduler.step(3400, requested('c', 0, whole)))).toEqual(['given'])
    expect(rejects(scheduler.step(3500, requested('c', 0, whole)))).toEqual([])
    const patient = new UploadScheduler({ slots: 1, stalledAfterMs: 60_000 })
    patient.step(0, sending)
    patient.step(0, waiting)
    expect(rejects(patient.step(10_000, requested('c', 1, whole)))).toEqual(['given'])
  })

  it('is given by one who is still getting it to all who are near, and to one who is far', () => {
    const scheduler = new UploadScheduler()
    for (const peer of ['a', 'b']) expect(sends(scheduler.step(0, requested(peer, 0)))).toHaveLength(1)
    const far = { zone: 'there', scope: 'far' } as const
    expect(sends(scheduler.step(0, requested('c', 0, far)))).toHaveLength(1)
    expect(rejects(scheduler.step(0, requested('d', 0, far)))).toEqual(['given'])
  })
})
