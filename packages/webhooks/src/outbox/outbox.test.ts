import { Level } from 'level'
import { expect, it, onTestFinished } from 'vitest'
import { pulled, pushed, temporaryDirectory } from '../testing/fixture.ts'
import { OutboxDatabase } from './database.ts'
import { Outbox, type OutboxOptions } from './outbox.ts'
import type { Row } from './row.ts'

const HOUR_MS = 3_600_000
const OPTIONS: OutboxOptions = {
  maxCount: 100,
  maxBytes: 100_000,
  maxDead: 10,
  maxAgeMs: HOUR_MS,
  maxWaitingChanges: 4
}

async function open(names: readonly string[], directory?: string) {
  const level = new Level<string, string>(directory ?? (await temporaryDirectory()))
  const synced: boolean[] = []
  const state = { now: Date.parse('2026-01-01T00:00:00Z'), failing: false }
  const write = level.batch.bind(level) as (changes: unknown, options: unknown) => Promise<void>
  level.batch = (async (changes: unknown, options: { sync: boolean }) => {
    synced.push(options.sync)
    if (state.failing) throw new Error('IO error')
    await write(changes, options)
  }) as unknown as typeof level.batch
  const database = await OutboxDatabase.use(level, 'test')
  onTestFinished(() => database.close())
  const dropped: string[] = []
  const components = {
    database,
    now: () => state.now,
    random: () => 0.5,
    onDropped: (name: string, reason: string, count: number) => void dropped.push(`${name} ${reason} ${count}`)
  }
  return { outbox: await Outbox.open(components, OPTIONS, names), components, level, synced, dropped, state }
}

const tagOf = (row: Row | undefined) => row?.event.data.tag

it('syncs what was promised, and not the pulls', async () => {
  const { outbox, synced } = await open(['ci'])
  await outbox.record(pushed('1'), ['ci'])
  await outbox.record(pulled(1), ['ci'])
  expect(synced).toEqual([true, false])
})

it('writes many at once', async () => {
  const { outbox, synced } = await open(['ci', 'audit'])
  await Promise.all(Array.from({ length: 50 }, (_, i) => outbox.record(pushed(String(i)), ['ci', 'audit'])))
  expect(synced).toEqual([true, true])
  expect([outbox.endpoint('ci').pendingCount, outbox.endpoint('audit').pendingCount]).toEqual([50, 50])
})

it('records no pull while the disk has enough to do', async () => {
  const { outbox, dropped } = await open(['ci'])
  const pushes = Array.from({ length: 10 }, (_, i) => outbox.record(pushed(String(i)), ['ci']))
  await outbox.record(pulled(1), ['ci'])
  await Promise.all(pushes)
  expect(dropped).toEqual(['ci full 1'])
  expect(outbox.endpoint('ci').pendingCount).toBe(10)
})

it('delivers nothing of which it said that it could not be recorded', async () => {
  const { outbox, state } = await open(['ci'])
  state.failing = true
  await expect(outbox.record(pushed('1'), ['ci'])).rejects.toMatchObject({ code: 'OUTBOX_FAILED' })
  state.failing = false
  await outbox.record(pushed('2'), ['ci'])
  expect(tagOf(await outbox.endpoint('ci').next())).toBe('2')
  expect(outbox.endpoint('ci').pendingCount).toBe(1)
})

it('counts on where it was, also when all was delivered', async () => {
  const { outbox, components } = await open(['ci'])
  await outbox.record(pushed('1'), ['ci'])
  const first = await outbox.endpoint('ci').next()
  if (first) await outbox.endpoint('ci').delivered(first)
  const again = await Outbox.open(components, OPTIONS, ['ci'])
  await again.record(pushed('2'), ['ci'])
  const second = await again.endpoint('ci').next()
  expect([first?.event.sequence, second?.event.sequence]).toEqual([1, 2])
})

it('keeps events of an endpoint that is not configured any more for a while', async () => {
  const { outbox, components, state } = await open(['ci', 'gone'])
  await outbox.record(pushed('1'), ['ci', 'gone'])
  await Outbox.open(components, OPTIONS, ['ci'])
  const back = await Outbox.open(components, OPTIONS, ['ci', 'gone'])
  expect(tagOf(await back.endpoint('gone').next())).toBe('1')
  state.now += HOUR_MS + 1
  await Outbox.open(components, OPTIONS, ['ci'])
  const late = await Outbox.open(components, OPTIONS, ['ci', 'gone'])
  expect(late.endpoint('gone').pendingCount).toBe(0)
  expect(tagOf(await late.endpoint('ci').next())).toBe('1')
})

it('does not take the events of one endpoint for those of another whose name begins alike', async () => {
  const { outbox, components } = await open(['ci', 'ci-2'])
  await outbox.record(pushed('1'), ['ci-2'])
  const again = await Outbox.open(components, OPTIONS, ['ci', 'ci-2'])
  expect([again.endpoint('ci').pendingCount, again.endpoint('ci-2').pendingCount]).toEqual([0, 1])
})

it('holds up nothing behind what could not be revived, and keeps it among the dead', async () => {
  const { outbox, state } = await open(['ci'])
  const endpoint = outbox.endpoint('ci')
  await outbox.record(pushed('1'), ['ci'])
  const row = await endpoint.next()
  if (row === undefined) throw new Error('there is an event')
  await endpoint.bury({ ...row, diedAt: new Date(state.now).toISOString() })
  state.failing = true
  await expect(endpoint.revive(() => true)).rejects.toMatchObject({ code: 'OUTBOX_FAILED' })
  state.failing = false
  await outbox.record(pushed('2'), ['ci'])
  expect(tagOf(await endpoint.next())).toBe('2')
  expect(endpoint.deadCount).toBe(1)
  expect(await endpoint.revive(() => true)).toBe(1)
  expect(tagOf(await endpoint.next())).toBe('1')
})
