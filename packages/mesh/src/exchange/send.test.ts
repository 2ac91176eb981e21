import { AbstractStream, multiaddrConnectionPair, type SendResult } from '@libp2p/utils'
import { expect, it } from 'vitest'
import { send } from './send.ts'

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

const never = new AbortController().signal

it('bytes are sent only when the stream has taken all of them, however often it tells of room before', async () => {
  const stream = new NarrowStream()
  let sent = false
  const sending = send(stream, [Buffer.alloc(15), Buffer.alloc(20)], never).then(() => {
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
  const sending = send(stream, [Buffer.alloc(100)], never)
  stream.abort(new Error('gone'))
  await expect(sending).rejects.toMatchObject({ code: 'PEER_UNREACHABLE' })
  await expect(send(new NarrowStream(), [Buffer.alloc(100)], AbortSignal.abort())).rejects.toMatchObject({
    code: 'DEADLINE'
  })
})
