import type { BlobStat } from '@layermesh/content'
import { type Digest, digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { SharedContentWatch, type SharedContentWatchOptions } from './shared-content.ts'

const blob = (name: string, size: number): BlobStat => ({ digest: digestOf(Buffer.from(name)), size })
const [A, B, C] = [blob('a', 100), blob('b', 200), blob('c', 300)]

function make(options: Partial<SharedContentWatchOptions> = {}) {
  const told: [string, Digest][] = []
  const state = { blobs: [A] as readonly BlobStat[], own: [] as Digest[], error: undefined as Error | undefined }
  const warnings: unknown[] = []
  const watch = new SharedContentWatch(
    {
      shared: {
        look: async () => {
          if (state.error) throw state.error
          return [...state.blobs]
        }
      },
      isHere: async (digest) => state.own.includes(digest),
      announce: (digest) => void told.push(['announce', digest]),
      withdraw: async (digest) => void told.push(['withdraw', digest]),
      log: { info: () => {}, debug: () => {}, warn: (fields: unknown) => void warnings.push(fields) }
    },
    { minAnnouncedBytes: 100, everyMs: 1, ...options }
  )
  return { watch, told, state, warnings }
}

it('tells of what comes and goes, once', async () => {
  const { watch, told, state } = make()
  await watch.look()
  state.blobs = [A, B]
  await watch.look()
  state.blobs = [B]
  await watch.look()
  await watch.look()
  expect(told).toEqual([
    ['announce', A.digest],
    ['announce', B.digest],
    ['withdraw', A.digest]
  ])
})

it('tells no more of what is gone only if the store of the node has it not', async () => {
  const { watch, told, state } = make()
  await watch.look()
  state.own = [A.digest]
  state.blobs = []
  await watch.look()
  expect(told).toEqual([['announce', A.digest]])
})

it('tells of the largest, as many as it may, and of none that is small', async () => {
  const D = blob('d', 400)
  const { watch, told, state } = make({ maxAnnounced: 2, minAnnouncedBytes: 150 })
  state.blobs = [A, B, C, D]
  await watch.look()
  expect(told).toEqual([
    ['announce', D.digest],
    ['announce', C.digest]
  ])
  state.blobs = [A, B]
  await watch.look()
  expect(told.slice(2)).toContainEqual(['announce', B.digest])
  expect(told).not.toContainEqual(['announce', A.digest])
})

it('says once why it can not be read, and goes on', async () => {
  const { watch, told, state, warnings } = make()
  state.error = Object.assign(new Error('no'), { code: 'EACCES' })
  watch.start()
  while (warnings.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await new Promise((resolve) => setTimeout(resolve, 30))
  state.error = undefined
  while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await watch.stop()
  expect(warnings).toEqual([{ reason: 'EACCES' }])
})
