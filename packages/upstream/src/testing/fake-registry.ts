import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { type LocalServer, type LocalServerOptions, startServer } from './local-server.ts'

/** A request that a registry got. */
export interface Seen {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

/** Answers in place of the registry; undefined leaves it to that. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse) => true | undefined

const NAMED = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)(?:\?.*)?$/

/** A registry that says what it was asked, and can be made to misbehave. */
export class FakeRegistry {
  readonly seen: Seen[] = []
  /** By digest and, for manifests, by tag. */
  readonly content = new Map<string, { readonly bytes: Buffer; readonly mediaType: string }>()
  intercept: Interceptor = () => undefined
  readonly server: LocalServer

  private constructor(server: LocalServer) {
    this.server = server
  }

  static async start(options: LocalServerOptions = {}): Promise<FakeRegistry> {
    let registry: FakeRegistry | undefined
    const server = await startServer((request, response) => registry?.answer(request, response), options)
    registry = new FakeRegistry(server)
    return registry
  }

  get url(): string {
    return this.server.url
  }

  /** `METHOD /path` of all requests, in their order. */
  get log(): string[] {
    return this.seen.map(({ method, path }) => `${method} ${path}`)
  }

  addBlob(bytes: Buffer): Digest {
    const digest = digestOf(bytes)
    this.content.set(digest, { bytes, mediaType: 'application/octet-stream' })
    return digest
  }

  /** @param tags by which it is known besides its digest */
  addManifest(manifest: object, ...tags: string[]): Digest {
    const bytes = Buffer.from(JSON.stringify(manifest))
    const mediaType = 'mediaType' in manifest ? String(manifest.mediaType) : MEDIA_TYPE.ociManifest
    const digest = digestOf(bytes)
    for (const name of [digest, ...tags]) this.content.set(name, { bytes, mediaType })
    return digest
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '', headers } = request
    this.seen.push({ method, path, headers })
    if (this.intercept(request, response)) return
    const [, , kind, reference = ''] = NAMED.exec(path) ?? []
    const found = this.content.get(reference)
    if (kind === undefined || found === undefined) {
      response.writeHead(path === '/v2/' ? 200 : 404).end()
      return
    }
    give(request, response, found)
  }
}

function give(
  { method, headers }: IncomingMessage,
  response: ServerResponse,
  { bytes, mediaType }: { readonly bytes: Buffer; readonly mediaType: string }
): void {
  const [, first] = /^bytes=([0-9]+)-$/.exec(headers.range ?? '') ?? []
  const start = Number(first ?? 0)
  response.setHeader('content-type', mediaType)
  response.setHeader('docker-content-digest', digestOf(bytes))
  response.setHeader('content-length', bytes.length - start)
  if (first !== undefined) response.setHeader('content-range', `bytes ${start}-${bytes.length - 1}/${bytes.length}`)
  response.writeHead(first === undefined ? 200 : 206)
  response.end(method === 'HEAD' ? undefined : bytes.subarray(start))
}
