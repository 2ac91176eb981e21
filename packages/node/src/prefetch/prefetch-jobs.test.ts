import { setTimeout as sleep } from 'node:timers/promises'
import type { PrefetchReport } from '@layermesh/mesh'
import { digestOf, OciError, parseImageReference } from '@layermesh/oci'
import { expect, it } from 'vitest'
import type { PullProgress, PullResult } from '../admin/view.ts'
import { PrefetchJobs, type PrefetchJobsOptions, type PrefetchOrder } from './prefetch-jobs.ts'

const reference = parseImageReference('team/app:1')
const ORDER: PrefetchOrder = { reference, platform: undefined, deadlineMs: 60_000 }
const LAYER = digestOf(Buffer.from('layer'))
const PROGRESS: PullProgress = {
  digest: LAYER,
  mediaType: 'layer',
  size: 10,
  heldBytes: 4,
  sources: [{ peerId: 'p', bytes: 3 }]
}
const RESULT: PullResult = {
  repository: reference.repository,
  digest: digestOf(Buffer.from('manifest')),
  mediaType: 'manifest',
  size: 10,
  receivedBytes: 6,
  sources: []
}
const { signal } = new AbortController()

interface Pull {
  readonly reference: string
  readonly platform: unknown
  readonly signal: AbortSignal
  progress(progress: PullProgress): void
  done(): void
  fail(error: Error): void
}

function make(options: Partial<PrefetchJobsOptions> = {}) {
  const pulls: Pull[] = []
  const jobs = new PrefetchJobs(
    {
      pull: ({ repository }, progress, left, platform) => {
        const { promise, resolve, reject } = Promise.withResolvers<PullResult>()
        left.addEventListener('abort', () => reject(left.reason))
        const done = () => resolve(RESULT)
        pulls.push({ reference: repository, platform, signal: left, progress, done, fail: reject })
        return promise
      }
    },
    { reportEveryMs: 1, ...options }
  )
  return { jobs, pulls }
}

async function collect(reports: AsyncIterable<PrefetchReport>): Promise<PrefetchReport[]> {
  const all: PrefetchReport[] = []
  for await (const report of reports) all.push(report)
  return all
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1)
}

it('tells how far the image is, and at last what it is', async () => {
  const { jobs, pulls } = make()
  const told: PrefetchReport[] = []
  const following = (async () => {
    for await (const report of jobs.follow(ORDER, signal)) told.push(report)
  })()
  await until(() => told.length === 1)
  pulls[0]?.progress(PROGRESS)
  await until(() => told.length === 2)
  pulls[0]?.done()
  await following
  expect(told).toEqual([
    { state: 'waiting', size: 0, heldBytes: 0, receivedBytes: 0 },
    { state: 'fetching', size: 10, heldBytes: 4, receivedBytes: 3 },
    { state: 'done', size: 10, heldBytes: 10, receivedBytes: 6, digest: RESULT.digest }
  ])
})

it('fetches an image once for all who ask, and another platform of it once more', async () => {
  const { jobs, pulls } = make()
  const all = [ORDER, ORDER, { ...ORDER, platform: 'all' as const }].map((order) => collect(jobs.follow(order, signal)))
  await until(() => pulls.length === 2)
  for (const pull of pulls) pull.done()
  for (const reports of await Promise.all(all)) expect(reports.at(-1)?.state).toBe('done')
  expect(pulls.map(({ platform }) => platform)).toEqual([undefined, 'all'])
})

it('fetches no more at one time than it may, and refuses when too many wait', async () => {
  const { jobs, pulls } = make({ maxRunning: 1, maxWaiting: 1 })
  const follow = (name: string) => collect(jobs.follow({ ...ORDER, reference: parseImageReference(name) }, signal))
  const first = follow('a')
  await until(() => pulls.length === 1)
  const second = follow('b')
  await expect(follow('c')).rejects.toMatchObject({ code: 'TOOMANYREQUESTS' })
  expect(pulls).toHaveLength(1)
  pulls[0]?.done()
  await until(() => pulls.length === 2)
  pulls[1]?.done()
  await Promise.all([first, second])
})

it('goes on for a while when the last who asked has left, and for whoever comes back', async () => {
  const { jobs, pulls } = make({ graceMs: 300 })
  const leave = new AbortController()
  const first = collect(jobs.follow(ORDER, leave.signal))
  await until(() => pulls.length === 1)
  leave.abort()
  await expect(first).rejects.toThrow()
  const second = collect(jobs.follow(ORDER, signal))
  await sleep(400)
  expect(pulls[0]?.signal.aborted).toBe(false)
  pulls[0]?.done()
  expect((await second).at(-1)?.state).toBe('done')

  const leaveAgain = new AbortController()
  const third = collect(jobs.follow(ORDER, leaveAgain.signal))
  await until(() => pulls.length === 2)
  leaveAgain.abort()
  await expect(third).rejects.toThrow()
  await until(() => pulls[1]?.signal.aborted === true)
})

it('tells why the image did not come', async () => {
  const { jobs, pulls } = make()
  const following = collect(jobs.follow(ORDER, signal))
  await until(() => pulls.length === 1)
  pulls[0]?.fail(new OciError('MANIFEST_UNKNOWN', 'nobody has it'))
  await expect(following).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' })
  await expect(collect(jobs.follow({ ...ORDER, deadlineMs: 5 }, signal))).rejects.toThrow('in time')
})

it('says that nothing changed, so that whoever waits knows that it lives', async () => {
  const { jobs, pulls } = make({ heartbeatMs: 5 })
  const told: PrefetchReport[] = []
  const following = (async () => {
    for await (const report of jobs.follow(ORDER, signal)) told.push(report)
  })()
  await until(() => told.length > 3)
  pulls[0]?.done()
  await following
})

it('ends all that runs when it stops', async () => {
  const { jobs, pulls } = make()
  const following = collect(jobs.follow(ORDER, signal))
  await until(() => pulls.length === 1)
  const ended = expect(following).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await jobs.stop()
  await ended
})
