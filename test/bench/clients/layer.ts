import { type Descriptor, type Digest, MEDIA_TYPE, parseDigest } from '@layermesh/oci'
import { noise, noiseHash } from '../../support/images/noise.ts'
import { pushImage } from '../../support/registry-client.ts'

export const TAG = '1'

/** The one layer of an image, of bytes that follow from its name and that no compression makes smaller. */
export interface Layer {
  readonly name: string
  readonly repository: string
  readonly digest: Digest
  readonly size: number
}

export function makeLayer(name: string, size: number): Layer {
  return { name, repository: `bench/${name}`, digest: parseDigest(`sha256:${noiseHash(name, size)}`), size }
}

export function layerContent({ name, size }: Layer): Generator<Buffer> {
  return noise(name, size)
}

/** Pushes the image under {@link TAG}. */
export async function pushLayer(registryUrl: string, layer: Layer): Promise<void> {
  const { repository, digest, size } = layer
  const descriptor: Descriptor = { mediaType: MEDIA_TYPE.ociLayerGzip, digest, size }
  await pushImage(registryUrl, repository, TAG, descriptor, layerContent(layer))
}

export function blobUrl(registryUrl: string, { repository, digest }: Layer): string {
  return `${registryUrl}/v2/${repository}/blobs/${digest}`
}
