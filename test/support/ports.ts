import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/** A port of 127.0.0.1 that this process listens on, so that nobody else can; it says nothing. */
export async function takenPort(): Promise<{ port: number; server: Server }> {
  const server = createServer()
  return { port: await listen(server), server }
}

/** Has a server listen on a port that the system chooses. @returns the port */
export async function listen(server: Server, address = '127.0.0.1', port = 0): Promise<number> {
  server.listen(port, address)
  await once(server, 'listening')
  const listening = server.address()
  if (listening === null || typeof listening === 'string') throw new Error('a TCP server has a port')
  return listening.port
}

/** Of this machine too, and nobody else listens there: a port that was free still is when a node starts there, or starts again. */
const NODE_ADDRESS = '127.0.0.5'

/** `ADDRESS:PORT` for the registry of a node that is to be found there whenever it runs. */
export async function lastingAddress(): Promise<string> {
  const server = createServer()
  const port = await listen(server, NODE_ADDRESS)
  server.close()
  await once(server, 'close')
  return `${NODE_ADDRESS}:${port}`
}

/** tcpmux: no ordinary machine listens there, so that a client which falls back to this host fails at once. */
export const DEAD_PORT = 1
