import { digestOf } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LIMITS } from '../limits.ts'
import type { Channel } from './channel.ts'
import type { Download } from './download.ts'
import { SmallBlobs } from './small-blobs.ts'

const DIGEST = digestOf(Buffer.from('a manifest'))
const OFFER = { peerId: 'peer', size: 10, pieces: undefined as never, fetching: [] }

beforeEach(() => {
  vi.useFakeTimers({ now: 0 })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A blob that was asked of a peer which says nothing, and who was shut out so far. */
function asked() {
  const banned: string[] = []
  const blobs = new SmallBlobs({
    directory: { ban: (peerId, reason) => void banned.push(`${peerId} ${reason}`) },
    observer: { pieceFailed: () => {} },
    channel: () => ({ request: () => {} }) as unknown as Channel,
    now: () => Date.now()
  })
  const taken = blobs.take({ digest: DIGEST, smallOffers: [], settled: false } as unknown as Download, OFFER)
  return { blobs, banned, taken }
}

it('are asked of another peer when one is silent, which is shut out', async () => {
  const { banned, taken } = asked()
  await vi.advanceTimersByTimeAsync(LIMITS.smallBlobSilenceMs)
  await taken
  expect(banned).toEqual(['peer silent'])
})

it('are waited for as long as something comes from the peer, and within a bound', async () => {
  const { blobs, banned, taken } = asked()
  const sending = setInterval(() => blobs.heard('peer'), LIMITS.smallBlobSilenceMs / 2)
  await vi.advanceTimersByTimeAsync(LIMITS.smallBlobDeadlineMs + LIMITS.smallBlobSilenceMs)
  clearInterval(sending)
  await taken
  expect(banned).toEqual([])
})

it('are waited for anew when this process stood still: what came meanwhile is not read yet', async () => {
  const { banned, taken } = asked()
  await vi.advanceTimersByTimeAsync(LIMITS.smallBlobSilenceMs / 3)
  vi.setSystemTime(Date.now() + 3 * LIMITS.smallBlobSilenceMs)
  await vi.advanceTimersByTimeAsync(LIMITS.smallBlobSilenceMs / 2)
  expect(banned).toEqual([])
  await vi.advanceTimersByTimeAsync(LIMITS.smallBlobSilenceMs)
  await taken
  expect(banned).toEqual(['peer silent'])
})
