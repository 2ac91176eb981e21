import { createHash } from 'node:crypto'
import { type Descriptor, type Digest, MEDIA_TYPE } from '@layermesh/oci'
import { HANG_MS } from '../http.ts'
import type { BuiltImage, PlatformImage } from './image.ts'

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
  const headers = { Accept: ACCEPT.join(', ') }
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(HANG_MS) })
  if (response.status !== 200) throw new Error(`${url} was answered with ${response.status} ${await response.text()}`)
  const hash = createHash('sha256')
  for await (const chunk of response.body ?? []) hash.update(chunk)
  return `sha256:${hash.digest('hex')}` as Digest
}
