import { randomBytes } from 'node:crypto'
import type { MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { pEvent } from 'p-event'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BufferPool } from '../../buffer-pool.ts'
import { Loans } from '../../loans.ts'
import { makeTls, TcpPair } from '../../testing/tcp-pair.ts'
import { secretsAlone } from '../membership.ts'
import { takeSocket } from './socket.ts'

const MIB = 1024 * 1024

let pair: TcpPair
let client: MessageStream
let server: MessageStream
let loans: Loans
beforeEach(async () => {
  pair = await TcpPair.connect()
  loans = new Loans(new BufferPool(MIB))
  const [outbound, inbound] = await Promise.all([
    makeTls(secretsAlone([]), { loans }).then(({ encrypter }) => encrypter.secureOutbound(pair.client)),
    makeTls(secretsAlone([])).then(({ encrypter }) => encrypter.secureInbound(pair.server))
  ])
  client = outbound.connection
  server = inbound.connection
})
afterEach(() => pair[Symbol.asyncDispose]())

function closing(stream: MessageStream): Promise<StreamCloseEvent> {
  return pEvent<'close', StreamCloseEvent>(stream, 'close')
}

/** All that comes until the other side ends, or until it is as much as wanted. */
function readAll(stream: MessageStream, wanted = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let received = 0
  return new Promise((resolve) => {
    const done = () => resolve(Buffer.concat(parts))
    stream.addEventListener('message', ({ data }: StreamMessageEvent) => {
      parts.push(data.subarray())
      received += data.byteLength
      if (received >= wanted) done()
    })
    stream.addEventListener('close', done)
  })
}

async function write(stream: MessageStream, bytes: Uint8Array, atOnce: number): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; offset += atOnce) {
    if (!stream.send(bytes.subarray(offset, offset + atOnce))) {
      await pEvent(stream, 'drain', { rejectionEvents: ['close'] })
    }
  }
}

describe('what is sent', () => {
  it.each([1_000, 64 * 1024, MIB])('arrives as it is, both ways at once, by %d bytes', async (atOnce) => {
    const [up, down] = [randomBytes(4 * MIB), randomBytes(4 * MIB)]
    const received = Promise.all([readAll(server, up.byteLength), readAll(client, down.byteLength)])
    await Promise.all([write(client, up, atOnce), write(server, down, atOnce)])
    expect((await received).map((bytes, index) => bytes.equals(index === 0 ? up : down))).toEqual([true, true])
  })

  it.each([
    ['the connection', () => client.close()],
    ['the TCP connection below it, as libp2p does,', () => pair.client.close()]
  ])('arrives whole when %s is closed right behind it', async (_, close) => {
    const bytes = randomBytes(8 * MIB)
    const received = readAll(server)
    for (let offset = 0; offset < bytes.byteLength; offset += MIB) client.send(bytes.subarray(offset, offset + MIB))
    await close()
    expect((await received).equals(bytes)).toBe(true)
  })

  it('gives back memory that was lent to it once all of that is written, and not before', async () => {
    const memory = loans.memory(MIB)
    const bytes = new Uint8Array(memory)
    loans.lend(bytes)
    const received = readAll(server, MIB)
    client.send(bytes.subarray(0, MIB / 2))
    client.send(randomBytes(100))
    expect(loans.isLent(bytes)).toBe(true)
    client.send(bytes.subarray(MIB / 2))
    await received
    await expect.poll(() => loans.isLent(bytes)).toBe(false)
    expect(loans.memory(MIB)).toBe(memory)
  })

  it('waits at the sender, who is told to stop, while the receiver does not read', async () => {
    let received = 0
    server.addEventListener('message', ({ data }) => {
      received += data.byteLength
    })
    server.pause()
    const total = 64 * MIB
    let sent = 0
    const sending = (async () => {
      for (; sent < total; sent += MIB) await write(client, Buffer.alloc(MIB), MIB)
    })()
    for (let before = -1; before !== sent; await new Promise((resolve) => setTimeout(resolve, 250))) before = sent
    // What the kernel keeps for both sockets, at the most.
    expect(sent).toBeLessThan(24 * MIB)
    expect(client.writeBufferLength).toBeLessThanOrEqual(MIB)
    expect(received).toBe(0)
    server.resume()
    await sending
    const closed = closing(server)
    await client.close()
    await closed
    expect(received).toBe(total)
  })
})

describe('a connection', () => {
  beforeEach(async () => {
    // Now what TLS sends by itself behind a handshake has arrived.
    server.send(Buffer.from('hello'))
    await pEvent(client, 'message')
  })

  it('that is closed closes in order on both sides, above and below TLS', async () => {
    const ends = [client, server, pair.client, pair.server].map(closing)
    await client.close()
    for (const { error } of await Promise.all(ends)) expect(error).toBeUndefined()
  })

  it.each([
    ['it', () => client],
    ['the TCP connection below', () => pair.client]
  ])('ends with an error on both sides when %s is aborted', async (_, aborted) => {
    const ends = [client, server, pair.client, pair.server].map(closing)
    aborted().abort(new Error('enough'))
    for (const { error } of await Promise.all(ends)) expect(error).toBeInstanceOf(Error)
  })

  it('ends with an error when the peer is gone', async () => {
    const ends = [server, pair.server].map(closing)
    const { socket } = await takeSocket(pair.client, new AbortController().signal)
    socket.resetAndDestroy()
    for (const { error } of await Promise.all(ends)) expect(error).toMatchObject({ code: 'ECONNRESET' })
  })

  it.each([
    ['server', () => [pair.client, server] as const],
    ['client', () => [pair.server, client] as const]
  ])('ends with an error when a %s gets what was not encrypted by the peer', async (_, ends) => {
    const [forger, victim] = ends()
    const end = closing(victim)
    const { socket } = await takeSocket(forger, new AbortController().signal)
    socket.write(Buffer.concat([Buffer.from('1703030040', 'hex'), randomBytes(64)]))
    expect((await end).error).toMatchObject({ code: expect.stringContaining('DECRYPTION_FAILED') })
  })

  it('takes nothing after it was closed', async () => {
    await client.close()
    expect(() => client.send(Buffer.from('late'))).toThrow()
  })
})
