import type { PrefetchReport, PrefetchRequest } from '@layermesh/mesh'
import { expect, it } from 'vitest'
import type { PrefetchOrder } from './prefetch-jobs.ts'
import { type PrefetchFrom, PrefetchService } from './prefetch-service.ts'

const REQUEST: PrefetchRequest = { reference: 'team/app:1', deadlineMs: 1_000 }
const DONE: PrefetchReport = { state: 'done', size: 1, heldBytes: 1, receivedBytes: 1 }
const { signal } = new AbortController()

async function ask(from: PrefetchFrom, peerId: string, request: PrefetchRequest = REQUEST, error?: Error) {
  const orders: PrefetchOrder[] = []
  const service = new PrefetchService(
    {
      jobs: {
        async *follow(order: PrefetchOrder) {
          orders.push(order)
          if (error) throw error
          yield DONE
        }
      },
      isSeed: (one) => one === 'seed',
      log: { info: () => {}, error: () => {} }
    },
    { from }
  )
  for await (const report of service.fetch(peerId, request, signal)) expect(report).toEqual(DONE)
  return orders
}

it.each([
  ['seeds', 'seed', true],
  ['seeds', 'member', false],
  ['members', 'member', true],
  ['none', 'seed', false]
] as const)('fetches for %s: asked by a %s: %s', async (from, peerId, allowed) => {
  const asked = ask(from, peerId)
  if (allowed) expect(await asked).toMatchObject([{ reference: { repository: 'team/app', tag: '1' } }])
  else await expect(asked).rejects.toMatchObject({ code: 'DENIED' })
})

it('refuses what names no image or platform, before it does anything', async () => {
  await expect(ask('seeds', 'seed', { ...REQUEST, reference: 'Team/../x' })).rejects.toMatchObject({
    code: 'NAME_INVALID'
  })
  await expect(ask('seeds', 'seed', { ...REQUEST, platform: 'linux' })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  expect(await ask('seeds', 'seed', { ...REQUEST, platform: 'linux/arm/v7' })).toMatchObject([
    { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } }
  ])
})

it('tells nobody what an error of this host says', async () => {
  const asked = ask('seeds', 'seed', REQUEST, new Error('open /secret/path'))
  await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'the node failed; its log says more' })
})
