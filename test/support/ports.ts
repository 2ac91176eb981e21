import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** A port of 127.0.0.1 that this process listens on, so that nobody else can; it says nothing. */
export async function takenPort(): Promise<{ port: number; server: Server }> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return { port: address.port, server }
}

/** tcpmux: no ordinary machine listens there, so that a client which falls back to this host fails at once. */
export const DEAD_PORT = 1
