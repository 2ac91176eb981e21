import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Descriptor, type Digest, MEDIA_TYPE } from '@layermesh/oci'
import { HANG_MS } from '../http.ts'
import type { BuiltImage, PlatformImage } from './image.ts'

/** Before a node is asked again that said it could not now: a busy machine may have kept it from it. */
const PAUSE_MS = 500
const ACCEPT = [MEDIA_TYPE.ociIndex, MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifestList, MEDIA_TYPE.dockerManifest]

/** What an image for one platform consists of, besides manifests. */
function blobsOf({ config, layers }: PlatformImage): readonly Descriptor[] {
  return [config, ...layers]
}

/**
 * Pulls an image for this machine's platform as clients do, all blobs at once, and throws everything away.
 * @param repository as the registry at `registryUrl` knows it: `docker.io/library/app` at a mirror
 * @param reference tag or digest
 * @throws when it is not had, or is another one
 */
export async function pullImage(
  registryUrl: string,
  repository: string,
  reference: string,
  { index, platforms: [own] }: BuiltImage
): Promise<void> {
  const pull = new ImagePull(`${registryUrl}/v2/${repository}`)
  await pull.get('manifests', reference, index.digest)
  await pull.platform(own)
}

/** The same for all platforms. */
export async function pullAllPlatforms(
  registryUrl: string,
  repository: string,
  reference: string,
  { index, platforms }: BuiltImage
): Promise<void> {
  const pull = new ImagePull(`${registryUrl}/v2/${repository}`)
  await pull.get('manifests', reference, index.digest)
  for (const platform of platforms) await pull.platform(platform)
}

/** Thrown when a node does not give what was asked for. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError'
  readonly status: number

  constructor(url: string, status: number, text: string) {
    super(`${url} was answered with ${status} ${text}`)
    this.status = status
  }
}

class ImagePull {
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async platform(image: PlatformImage): Promise<void> {
    await this.get('manifests', image.manifest.digest)
    await Promise.all(blobsOf(image).map(({ digest }) => this.get('blobs', digest)))
  }

  async get(kind: 'manifests' | 'blobs', reference: string, expected = reference): Promise<void> {
    const digest = await digestFrom(`${this.#url}/${kind}/${reference}`)
    if (digest !== expected) throw new Error(`${reference} at ${this.#url} is ${digest} instead of ${expected}`)
  }
}

async function digestFrom(url: string): Promise<Digest> {
  const response = await answerFrom(url)
  if (response.status !== 200) throw new RefusedError(url, response.status, await response.text())
  const hash = createHash('sha256')
  for await (const chunk of response.body ?? []) hash.update(chunk)
  return `sha256:${hash.digest('hex')}` as Digest
}

/** Asks for as long as the answer is 503: not now. */
async function answerFrom(url: string): Promise<Response> {
  const headers = { Accept: ACCEPT.join(', ') }
  const until = performance.now() + HANG_MS
  for (;;) {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(HANG_MS) })
    if (response.status !== 503 || performance.now() > until) return response
    await response.body?.cancel()
    await sleep(PAUSE_MS)
  }
}
