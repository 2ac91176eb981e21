import { AbstractStream, multiaddrConnectionPair, type SendResult } from '@libp2p/utils'
import { expect, it } from 'vitest'
import { StreamSender } from './stream-sender.ts'

const ROOM = 10
const [{ log }] = multiaddrConnectionPair()

/** A stream over a peer that takes ten bytes at a time. */
class NarrowStream extends AbstractStream {
  constructor() {
    super({ id: '1', log })
  }

  override sendData({ byteLength }: { byteLength: number }): SendResult {
    return { sentBytes: Math.min(byteLength, ROOM), canSendMore: false }
  }

  /** The peer has room again. */
  async drain(): Promise<void> {
    this.safeDispatchEvent('drain')
    await new Promise((resolve) => setImmediate(resolve))
  }

  override sendReset(): void {}
  override sendPause(): void {}
  override sendResume(): void {}
  override async sendCloseWrite(): Promise<void> {}
  override async sendCloseRead(): Promise<void> {}
}

it('bytes are sent only when the stream has taken all of them, however often it tells of room before', async () => {
  const stream = new NarrowStream()
  let sent = false
  const sending = new StreamSender(stream).send([Buffer.alloc(15), Buffer.alloc(20)]).then(() => {
    sent = true
  })
  for (let held = 25; held > 0; held -= ROOM) {
    expect([stream.writeBufferLength, sent]).toEqual([held, false])
    await stream.drain()
  }
  await stream.drain()
  await sending
})

it('a stream that ends meanwhile is told from one that stalls', async () => {
  const stream = new NarrowStream()
  const sending = new StreamSender(stream).send([Buffer.alloc(100)])
  stream.abort(new Error('gone'))
  await expect(sending).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  await expect(new StreamSender(stream).send([Buffer.alloc(1)])).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  const stalled = new StreamSender(new NarrowStream(), 1).send([Buffer.alloc(100)])
  await expect(stalled).rejects.toMatchObject({ code: 'DEADLINE' })
})

it('nothing is left of what was sent', async () => {
  const stream = new NarrowStream()
  const sender = new StreamSender(stream)
  const listeners = () => (['drain', 'idle', 'close'] as const).map((event) => stream.listenerCount(event))
  const before = listeners()
  for (let round = 0; round < 10; round++) {
    const sending = sender.send([Buffer.alloc(ROOM)])
    await stream.drain()
    await sending
  }
  expect(listeners()).toEqual(before)
})
