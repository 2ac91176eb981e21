import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import type { Sandbox } from '../../support/sandbox.ts'
import { imageOf } from './client.ts'

/** What a server was asked. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

/** A server on loopback that does as a test tells it, and remembers what it was asked. */
export class HostileServer {
  readonly seen: Seen[] = []
  /** `http://127.0.0.1:PORT`. */
  readonly url: string
  handler: Handler = (_request, response) => response.writeHead(404).end()

  readonly #server: Server

  private constructor(url: string, server: Server) {
    this.url = url
    this.#server = server
  }

  static async start(sandbox: Sandbox): Promise<HostileServer> {
    let hostile: HostileServer | undefined
    const server = createServer((request, response) => hostile?.take(request, response)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    sandbox.defer(async () => {
      server.close()
      server.closeAllConnections()
    })
    hostile = new HostileServer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server)
    return hostile
  }

  /** Connections that are open. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    })
  }

  private take(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request
    this.seen.push({ method, path, headers })
    response.on('error', () => {})
    this.handler(request, response)
  }
}

const LAYER = Buffer.from('a layer of another registry')
const IMAGE = imageOf(LAYER)
const CONTENT = new Map<string, readonly [bytes: Buffer, mediaType: string]>([
  ['latest', [IMAGE.manifest, MEDIA_TYPE.ociManifest]],
  [IMAGE.digest, [IMAGE.manifest, MEDIA_TYPE.ociManifest]],
  [IMAGE.config.digest, [Buffer.from('{}'), 'application/octet-stream']],
  [IMAGE.layer.digest, [LAYER, 'application/octet-stream']]
])

/** The image that {@link giveImage} gives, in whatever repository and as `latest`. */
export const UPSTREAM_IMAGE = { ...IMAGE, layerBytes: LAYER }

/** Answers as a registry that has one image. */
export function giveImage({ url = '', method }: IncomingMessage, response: ServerResponse): void {
  const [bytes, mediaType] = CONTENT.get(url.split('/').at(-1) ?? '') ?? []
  if (bytes === undefined) {
    response.writeHead(url === '/v2/' ? 200 : 404).end()
    return
  }
  const headers = {
    'content-type': mediaType,
    'content-length': bytes.length,
    'docker-content-digest': digestOf(bytes)
  }
  response.writeHead(200, headers).end(method === 'HEAD' ? undefined : bytes)
}
