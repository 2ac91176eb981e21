import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { pipeline } from 'node:stream/promises'

/* The taking end of the https yardstick; run as a RemoteModule. */

/** TLS gives 16 KiB at a time; the file stream writes what has gathered meanwhile in one go. With less it is slower. */
const WRITE_BUFFER_BYTES = 1024 * 1024

/** Writes what an address gives into a file, hashed on the way and synced at the end. @returns the digest */
export async function fetchInto(file: string, url: string, ca: string): Promise<string> {
  const [response] = (await once(get(url, { ca, agent: false }), 'response')) as [IncomingMessage]
  const hash = createHash('sha256')
  response.on('data', (chunk) => hash.update(chunk))
  await pipeline(response, createWriteStream(file, { flush: true, highWaterMark: WRITE_BUFFER_BYTES }))
  return `sha256:${hash.digest('hex')}`
}
