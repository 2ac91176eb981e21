import { Socket } from 'node:net'
import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { pEvent } from 'p-event'
import type { Uint8ArrayList } from 'uint8arraylist'

/** A connection of @libp2p/tcp and the socket in it. */
export interface TcpConnection {
  readonly connection: AbstractMultiaddrConnection
  readonly socket: Socket
}

/**
 * Takes the socket out of a connection of @libp2p/tcp on which multistream-select was spoken, so that TLS can be put
 * on the socket itself. The socket stands still, and what was read of it too early is in it again. The connection gets
 * no more data; it goes on to watch the socket and ends with it.
 *
 * libp2p has no way to ask for the socket, so this reads a property that @libp2p/tcp keeps to itself.
 *
 * @throws {TypeError} for a connection of another kind
 */
export async function takeSocket(connection: MessageStream, signal: AbortSignal): Promise<TcpConnection> {
  const socket: unknown = Reflect.get(connection, 'socket')
  if (!(connection instanceof AbstractMultiaddrConnection) || !(socket instanceof Socket)) {
    throw new TypeError('TLS needs a connection of @libp2p/tcp')
  }
  const early = await readEarly(connection, signal)
  socket.pause()
  socket.removeAllListeners('data')
  for (const part of [...early].reverse()) socket.unshift(part)
  return { connection, socket }
}

/** What came right behind the last message of multistream-select; libp2p gives it out once somebody listens. */
async function readEarly(connection: AbstractMultiaddrConnection, signal: AbortSignal): Promise<Iterable<Uint8Array>> {
  if (connection.readBufferLength === 0) return []
  const { data } = await pEvent<'message', StreamMessageEvent>(connection, 'message', { signal })
  return asParts(data)
}

function asParts(data: Uint8Array | Uint8ArrayList): Iterable<Uint8Array> {
  return data instanceof Uint8Array ? [data] : data
}
