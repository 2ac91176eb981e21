import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createServer } from 'node:https'
import { pipeline } from 'node:stream/promises'

/* The giving end of the https yardstick; run as a RemoteModule. */

const READ_BYTES = 256 * 1024

/** Serves a file to whoever asks. @returns its address */
export async function serve(file: string, size: number, key: string, cert: string): Promise<string> {
  const server = createServer({ key, cert, minVersion: 'TLSv1.3' }, async (_request, response) => {
    response.setHeader('content-length', size)
    await pipeline(createReadStream(file, { highWaterMark: READ_BYTES }), response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return `https://127.0.0.1:${address.port}/`
}
