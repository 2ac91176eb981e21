import { digestOf, pieceCount } from '@layermesh/oci'
import type { UploadOptions } from '@layermesh/swarm'
import type { Connection, Stream } from '@libp2p/interface'
import { AbstractStream, multiaddrConnectionPair, type SendResult } from '@libp2p/utils'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { BufferPool } from '../buffer-pool.ts'
import { Loans } from '../loans.ts'
import type { MeshHost } from '../network/host.ts'
import type { PeerDirectory } from '../network/peer-directory.ts'
import { decodeHave, encodeJoin } from '../wire/blob-messages.ts'
import { FRAME, FrameReader } from '../wire/frames.ts'
import { Serving } from './serving.ts'

const [{ log }] = multiaddrConnectionPair()
const SIZE = 12 * 1024 * 1024
const DIGEST = digestOf(Buffer.from('a blob that comes into the mesh'))
const COALESCE_MS = 50

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** A peer that joins the blob, and notes which pieces it is told of. */
class Follower extends AbstractStream {
  readonly told: number[] = []
  readonly #reader = new FrameReader()

  constructor() {
    super({ id: '1', log })
  }

  override sendData(data: { byteLength: number; subarray(): Uint8Array }): SendResult {
    for (const { type, body } of this.#reader.push(data.subarray())) {
      if (type === FRAME.have) this.told.push(...decodeHave(body).pieces)
    }
    return { sentBytes: data.byteLength, canSendMore: true }
  }

  override sendReset(): void {}
  override sendPause(): void {}
  override sendResume(): void {}
  override async sendCloseWrite(): Promise<void> {}
  override async sendCloseRead(): Promise<void> {}
}

/** A node that shares the blob with these peers, of which those named `far…` are of another zone. */
async function servingTo(names: readonly string[], options: Partial<UploadOptions> = {}) {
  let accept: ((stream: Stream, connection: Connection) => void) | undefined
  const host = {
    handle: async (_protocol: string, handler: typeof accept) => {
      accept = handler
    }
  }
  const directory = { scope: (peerId: string) => (peerId.startsWith('far') ? 'far' : 'zone'), zone: () => 'zone' }
  const held = new Uint8Array(Math.ceil(pieceCount(SIZE) / 8))
  const shelf = {
    offer: async () => ({ size: SIZE, held }),
    bringsIn: () => true,
    growth: () => undefined,
    read: async () => undefined
  }
  const serving = new Serving(
    {
      host: host as unknown as MeshHost,
      directory: directory as unknown as PeerDirectory,
      shelf,
      loans: new Loans(new BufferPool(SIZE)),
      interest: { asked: () => {}, peers: async () => [] },
      now: () => performance.now()
    },
    options
  )
  await serving.start()
  const followers = new Map(names.map((name) => [name, new Follower()]))
  for (const [name, stream] of followers) {
    accept?.(stream, { remotePeer: { toString: () => name } } as unknown as Connection)
    stream.onData(encodeJoin({ joinId: 1, digest: DIGEST }))
  }
  await vi.advanceTimersByTimeAsync(1)
  return { serving, followers, told: () => [...followers.values()].map(({ told }) => told) }
}

it('tells all at once of a piece that came from a peer', async () => {
  const { serving, told } = await servingTo(['one', 'two', 'far'])
  serving.pieceKept(DIGEST, 3)
  await vi.advanceTimersByTimeAsync(COALESCE_MS)
  expect(told()).toEqual([[3], [3], [3]])
})

it('tells one peer of the zone first of each piece that it brought in, in turn, and the others in a moment', async () => {
  const { serving, told } = await servingTo(['one', 'two', 'three'], { tellOthersAfterMs: 1_000 })
  for (let piece = 0; piece < 6; piece++) serving.pieceEntered(DIGEST, piece)
  await vi.advanceTimersByTimeAsync(COALESCE_MS)
  expect(told()).toEqual([
    [0, 3],
    [1, 4],
    [2, 5]
  ])
  await vi.advanceTimersByTimeAsync(1_000)
  for (const pieces of told()) expect(pieces.toSorted()).toEqual([0, 1, 2, 3, 4, 5])
})

it('tells all of another zone at once', async () => {
  const { serving, told } = await servingTo(['one', 'two', 'far one', 'far two'], { tellOthersAfterMs: 1_000 })
  serving.pieceEntered(DIGEST, 0)
  await vi.advanceTimersByTimeAsync(COALESCE_MS)
  expect(told()).toEqual([[0], [], [0], [0]])
})

it('gives no turn to one that is gone, and tells it nothing later', async () => {
  const { serving, followers, told } = await servingTo(['one', 'two', 'three'], { tellOthersAfterMs: 1_000 })
  serving.pieceEntered(DIGEST, 0)
  followers.get('two')?.abort(new Error('gone'))
  await vi.advanceTimersByTimeAsync(1)
  for (let piece = 1; piece < 4; piece++) serving.pieceEntered(DIGEST, piece)
  await vi.advanceTimersByTimeAsync(COALESCE_MS)
  expect(told()).toEqual([[0, 2], [], [1, 3]])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(told()[1]).toEqual([])
})
