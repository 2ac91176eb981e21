import { ContentError, type GarbageOptions, type GarbageReport } from '@layermesh/content'
import { expect, it, vi } from 'vitest'
import { Garbage } from './garbage.ts'

const REPORT: GarbageReport = {
  complete: true,
  scanned: 3,
  unlinked: 1,
  blobs: 1,
  partials: 0,
  bytes: 10,
  rows: 0,
  spared: 0
}

function make(collectGarbage: (options?: GarbageOptions) => Promise<GarbageReport>) {
  const told: string[] = []
  const log = {
    info: (_fields: object, message: string) => void told.push(message),
    warn: (_fields: object, message: string) => void told.push(message)
  }
  const runs: boolean[] = []
  const metrics = { garbageCollected: ({ complete }: { complete: boolean }) => void runs.push(complete) }
  const garbage = new Garbage({ content: { collectGarbage }, log, metrics } as never, { everyMs: 1 })
  return { garbage, told, runs }
}

it('counts and tells what was collected, and not what only would be', async () => {
  const { garbage, told, runs } = make(async () => REPORT)
  const { signal } = new AbortController()
  expect(await garbage.collect({ dryRun: true, signal })).toBe(REPORT)
  expect(runs).toEqual([])
  await garbage.collect({ dryRun: false, signal })
  expect(runs).toEqual([true])
  expect(told).toEqual(['collected garbage'])
})

it('collects on schedule, passes over what is being done already, and ends what it began when it stops', async () => {
  const signals: AbortSignal[] = []
  const { garbage, told } = make(async ({ signal } = {}) => {
    if (signal) signals.push(signal)
    if (signals.length === 1) throw new ContentError('BUSY', 'running')
    if (signals.length === 2) throw new Error('broken')
    await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    return { ...REPORT, complete: false }
  })
  garbage.start()
  await vi.waitUntil(() => signals.length === 3, { timeout: 90_000 })
  await garbage.stop()
  expect(signals[2]?.aborted).toBe(true)
  expect(told).toEqual(['garbage could not be collected; trying again later', 'collected garbage'])
})
