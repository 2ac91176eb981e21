import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { UPLOAD_DEFAULTS } from '@layermesh/swarm'
import { pEvent } from 'p-event'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LIMITS, PROTOCOL } from '../limits.ts'
import { hostileHost } from '../testing/hostile-peer.ts'
import { MeshFixture, someBytes, store, type TestNode, until } from '../testing/mesh-fixture.ts'
import { encodeJoin } from '../wire/blob-messages.ts'
import { encodeRequest } from '../wire/frames.ts'

const AT_ONCE = 8
const MIB = 1024 * 1024
const STREAMS = 4

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

const hostile = () => hostileHost(fixture, { protocol: '/test', answer: () => Buffer.of() })

/** Some peer that is served while another one does its worst. */
async function servesOthers(victim: TestNode): Promise<void> {
  const other = await fixture.node({ join: victim.mesh.addresses })
  await until(() =>
    other.mesh.peers().some(({ peerId, version }) => peerId === victim.mesh.peerId && version === 'test')
  )
}

it.each(['blob', 'hello', 'tag', 'notice'] as const)(
  'a peer has so many streams of %s open and no more',
  async (name) => {
    const victim = await fixture.node()
    const { host, dial } = await hostile()
    await dial(victim)
    const [connection] = host.getConnections()
    let open = 0
    let opened = 0
    let most = 0
    const openSome = async () => {
      // A stream that is one too many is reset, sometimes before it is given out.
      for (let i = 0; i < (2 * LIMITS.inboundStreamsPerPeer) / AT_ONCE; i++) {
        const stream = await connection?.newStream(PROTOCOL[name], { maxOutboundStreams: 1_000 }).catch(() => undefined)
        if (stream?.status !== 'open') continue
        opened++
        most = Math.max(most, ++open)
        stream.addEventListener('close', () => open--)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, openSome))
    await until(() => open <= LIMITS.inboundStreamsPerPeer)
    // Some count as open until they hear that they were reset.
    expect(most).toBeLessThanOrEqual(LIMITS.inboundStreamsPerPeer + 2 * AT_ONCE)
    // Of the small protocols, a slow machine sees the first ones end before the last are opened.
    expect(opened).toBeGreaterThanOrEqual(LIMITS.inboundStreamsPerPeer / 2)
    await servesOthers(victim)
  }
)

it('a peer that asks for much and reads nothing has few pieces read for it, however many streams it has', async () => {
  const victim = await fixture.node()
  const bytes = someBytes(16 * MIB)
  const digest = await store(victim.content, bytes)
  const readPiece = vi.spyOn(victim.content.blobs, 'readAt')
  const { host, dial } = await hostile()
  await dial(victim)
  const [connection] = host.getConnections()
  for (let i = 0; i < STREAMS; i++) {
    const stream = await connection?.newStream(PROTOCOL.blob)
    stream?.send(encodeJoin({ joinId: 1, digest }))
    if (stream) await pEvent(stream, 'message')
    stream?.pause()
    for (let piece = 0; piece < 16; piece++) stream?.send(encodeRequest({ requestId: piece, joinId: 1, piece }))
  }
  await until(() => readPiece.mock.calls.length >= UPLOAD_DEFAULTS.slotsPerPeer)
  await servesOthers(victim)
  // A piece of each stream may lie in its buffer and that of the asker.
  expect(readPiece.mock.calls.length).toBeLessThanOrEqual(UPLOAD_DEFAULTS.slotsPerPeer + STREAMS)
})

it('strangers that connect and say nothing leave room for others', async () => {
  const victim = await fixture.node()
  const port = Number(/tcp\/(\d+)/.exec(victim.mesh.addresses[0] ?? '')?.[1])
  const count = LIMITS.pendingHandshakesPerAddress + 50
  let closed = 0
  const sockets = await Promise.all(
    Array.from({ length: count }, async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      socket.on('close', () => closed++).resume()
      await once(socket, 'connect')
      return socket
    })
  )
  await until(() => closed >= 50)
  expect(victim.observer.refusals.every(({ reason }) => reason === 'busy')).toBe(true)
  for (const socket of sockets) socket.destroy()
  await servesOthers(victim)
})
