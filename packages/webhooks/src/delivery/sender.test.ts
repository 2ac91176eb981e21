import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { Receiver } from '../testing/receiver.ts'
import type { Resolve } from './addresses.ts'
import { HttpSender, type SenderOptions } from './sender.ts'

const MESSAGE = { id: '01K', contentType: 'application/json', body: '{"ü":1}' }
const NEVER = new AbortController().signal

function senderTo(url: string, options: Partial<SenderOptions> = {}, resolve: Resolve = async () => []): HttpSender {
  const sender = new HttpSender(
    {
      resolve,
      now: () => 1_700_000_000_000,
      secrets: async () => [Buffer.alloc(32, 1)],
      headers: async () => ({ authorization: 'Bearer token' }),
      ca: async () => undefined
    },
    { url, allowPrivateAddresses: true, timeoutMs: 120_000, userAgent: 'layermesh/test', ...options }
  )
  onTestFinished(() => sender.close())
  return sender
}

/** Takes connections and tells how many there were. */
async function countingServer(): Promise<{ port: number; connections: () => number }> {
  let count = 0
  const server = createServer((socket) => {
    count++
    socket.on('error', () => {}).resume()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { port: (server.address() as AddressInfo).port, connections: () => count }
}

it('posts the message with its headers and signature', async () => {
  const receiver = await Receiver.start()
  expect(await senderTo(receiver.url).send(MESSAGE, NEVER)).toBe(204)
  expect(receiver.received).toEqual([
    {
      method: 'POST',
      path: '/hook',
      body: MESSAGE.body,
      headers: {
        host: `127.0.0.1:${receiver.port}`,
        connection: 'keep-alive',
        authorization: 'Bearer token',
        'content-type': 'application/json',
        'content-length': '8',
        'user-agent': 'layermesh/test',
        'webhook-id': '01K',
        'webhook-timestamp': '1700000000',
        'webhook-signature': expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/)
      }
    }
  ])
})

it('takes a redirect for a failure and goes nowhere', async () => {
  const [receiver, elsewhere] = [await Receiver.start(), await Receiver.start()]
  for (const status of [301, 302, 303, 307, 308]) {
    receiver.answer((response) => void response.writeHead(status, { location: elsewhere.url }).end())
    await expect(senderTo(receiver.url).send(MESSAGE, NEVER)).rejects.toMatchObject({ code: 'STATUS_REFUSED', status })
  }
  expect(elsewhere.received).toEqual([])
})

it('tells the status and Retry-After of a refusal', async () => {
  const receiver = await Receiver.start()
  receiver.answer((response) => void response.writeHead(503, { 'retry-after': '7' }).end('private text'))
  const error = await senderTo(receiver.url)
    .send(MESSAGE, NEVER)
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'STATUS_REFUSED', status: 503, retryAfterMs: 7_000 })
  expect((error as Error).message).toBe('the receiver answered 503')
})

it('gives up on a receiver that does not answer', async () => {
  const receiver = await Receiver.start()
  receiver.answer(() => {})
  const sending = senderTo(receiver.url, { timeoutMs: 50 }).send(MESSAGE, NEVER)
  await expect(sending).rejects.toMatchObject({ code: 'TIMEOUT', message: 'no answer within 50 ms' })
})

it('ends at once when it is told to', async () => {
  const receiver = await Receiver.start()
  receiver.answer(() => {})
  const stop = new AbortController()
  const sending = senderTo(receiver.url).send(MESSAGE, stop.signal)
  await receiver.got(1)
  stop.abort()
  await expect(sending).rejects.toMatchObject({ code: 'CLOSED' })
})

it('reads no more of an answer than it needs to', async () => {
  const receiver = await Receiver.start()
  const closed = Promise.withResolvers<void>()
  receiver.answer((response) => {
    response.writeHead(200)
    const write = () => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384))) {
        // as long as the connection takes more
      }
    }
    response.on('drain', write).once('close', closed.resolve)
    write()
  })
  expect(await senderTo(receiver.url).send(MESSAGE, NEVER)).toBe(200)
  await closed.promise
})

it('uses a connection again, and another one when the receiver closed it meanwhile', async () => {
  const receiver = await Receiver.start()
  const sender = senderTo(receiver.url)
  const ports = new Set<number | undefined>()
  receiver.answer((response) => {
    ports.add(response.req.socket.remotePort)
    response.writeHead(204).end()
  })
  await sender.send(MESSAGE, NEVER)
  await sender.send(MESSAGE, NEVER)
  expect(ports.size).toBe(1)
  let first = true
  receiver.answer((response) => {
    if (first) response.req.socket.resetAndDestroy()
    else response.writeHead(204).end()
    first = false
  })
  expect(await sender.send(MESSAGE, NEVER)).toBe(204)
})

it.each(['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0177.0.0.1'])(
  'connects to nobody at %s',
  async (host) => {
    const { port, connections } = await countingServer()
    const sender = senderTo(`http://${host}:${port}/`, { allowPrivateAddresses: false })
    await expect(sender.send(MESSAGE, NEVER)).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
    expect(connections()).toBe(0)
  }
)

it('connects to nobody when a name that was public is rebound to a private address', async () => {
  const { port, connections } = await countingServer()
  let asked = 0
  const resolve: Resolve = async () => {
    asked++
    return [{ address: '127.0.0.1', family: 4 }]
  }
  const sender = senderTo(`http://hooks.example:${port}/`, { allowPrivateAddresses: false }, resolve)
  const error = await sender.send(MESSAGE, NEVER).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'ADDRESS_REFUSED' })
  expect([asked, connections()]).toEqual([1, 0])
  const literal = senderTo(`http://127.0.0.1:${port}/`, { allowPrivateAddresses: false })
  const other = await literal.send(MESSAGE, NEVER).catch((reason: unknown) => reason)
  expect((other as Error).message).toBe((error as Error).message)
})

it('says what kept it from a receiver that is not there', async () => {
  const { port } = await countingServer()
  const sender = senderTo(`http://nowhere.example:${port}/`, { allowPrivateAddresses: false }, async () => {
    throw Object.assign(new Error('no such host'), { code: 'ENOTFOUND' })
  })
  const message = 'the receiver can not be reached (ENOTFOUND)'
  await expect(sender.send(MESSAGE, NEVER)).rejects.toMatchObject({ code: 'UNREACHABLE', message })
})
