import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { MEDIA_TYPE } from '@layermesh/oci'
import { monotonicMs } from './clock.ts'
import { blobUrl, type Layer, pushLayer, TAG } from './layer.ts'

/* What a process on a host does for a benchmark; run as a RemoteModule. */

export interface PullTimes {
  /** Times of {@link monotonicMs}. */
  readonly startedMs: number
  readonly firstByteMs: number
  readonly endedMs: number
  /** Answers that it can not be had. */
  readonly refusals: readonly string[]
}

const MAX_REFUSALS = 20
const ASK_AGAIN_AFTER_MS = 500
const CHUNK = Buffer.alloc(256 * 1024)

/** Pulls an image as a container client does: the manifest by its tag, then the layer. @throws when bytes are wrong */
export async function pull(registryUrl: string, layer: Layer): Promise<PullTimes> {
  const startedMs = monotonicMs()
  const manifest = await getPatiently(`${registryUrl}/v2/${layer.repository}/manifests/${TAG}`)
  manifest.response.resume()
  const { response, refusals } = await getPatiently(blobUrl(registryUrl, layer))
  let firstByteMs = 0
  const hash = createHash('sha256')
  response.once('data', () => {
    firstByteMs = monotonicMs()
  })
  response.on('data', (chunk) => hash.update(chunk))
  await once(response, 'end')
  const endedMs = monotonicMs()
  const digest = `sha256:${hash.digest('hex')}`
  if (digest !== layer.digest) throw new Error(`${digest} came instead of ${layer.digest}`)
  return { startedMs, firstByteMs, endedMs, refusals: [...manifest.refusals, ...refusals] }
}

/** Asks again a few times when the answer is that it can not be had, as clients do. */
async function getPatiently(url: string): Promise<{ response: IncomingMessage; refusals: string[] }> {
  const refusals: string[] = []
  for (;;) {
    const asked = get(url, { agent: false, headers: { Accept: MEDIA_TYPE.ociManifest } })
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    if (response.statusCode === 200) return { response, refusals }
    refusals.push(`${response.statusCode} ${await text(response)}`)
    if (refusals.length > MAX_REFUSALS) throw new Error(`${url} was answered with ${refusals.at(-1)}`)
    await sleep(ASK_AGAIN_AFTER_MS)
  }
}

export async function push(registryUrl: string, layer: Layer): Promise<void> {
  await pushLayer(registryUrl, layer)
}

/** Sends so many bytes to whoever connects to `address`, by bare TCP. @returns the port */
export async function sendRaw(address: string, bytes: number): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    let left = bytes
    const more = () => {
      while (left > 0) {
        const chunk = CHUNK.subarray(0, left)
        left -= chunk.length
        if (!socket.write(chunk)) return void socket.once('drain', more)
      }
      socket.end()
    }
    more()
  })
  server.listen(0, address)
  await once(server, 'listening')
  const listening = server.address()
  if (listening === null || typeof listening === 'string') throw new Error('a TCP server has a port')
  return listening.port
}

/** Takes what {@link sendRaw} sends. @returns the rate of the bytes that came, in bits a second */
export async function takeRaw(address: string, port: number): Promise<number> {
  const startedMs = monotonicMs()
  const socket = connect(port, address)
  let bytes = 0
  socket.on('data', (chunk) => {
    bytes += chunk.length
  })
  await once(socket, 'end')
  return (bytes * 8000) / (monotonicMs() - startedMs)
}
