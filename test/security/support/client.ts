import { type Descriptor, type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { type Answer, request } from '../../support/http.ts'

/** Something with a registry. */
export interface Registry {
  readonly registryUrl: string
}

/** What a pushed image is made of. */
export interface PushedImage {
  readonly manifest: Buffer
  readonly digest: Digest
  readonly config: Descriptor
  readonly layer: Descriptor
}

/** Sends one request to `/v2/…` and reads the whole answer. */
export function ask(
  node: Registry,
  method: string,
  path: string,
  init: { headers?: Record<string, string>; body?: string | Uint8Array<ArrayBuffer> } = {}
): Promise<Answer> {
  return request(`${node.registryUrl}${path}`, { method, redirect: 'manual', ...init })
}

/** The code of the first error that an answer tells of. */
export function errorCode({ body }: Pick<Answer, 'body'>): string | undefined {
  const { errors } = JSON.parse(body.toString()) as { errors?: { code: string }[] }
  return errors?.[0]?.code
}

/** Pushes a blob in one request. */
export async function putBlob(
  node: Registry,
  repository: string,
  content: Buffer,
  headers: Record<string, string> = {}
): Promise<Digest> {
  const digest = digestOf(content)
  const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
  const { status, body } = await ask(node, 'POST', path, { headers, body: new Uint8Array(content) })
  if (status !== 201) throw new Error(`the blob was answered with ${status}: ${body}`)
  return digest
}

export function putManifest(
  node: Registry,
  repository: string,
  reference: string,
  manifest: string | Buffer,
  headers: Record<string, string> = {}
): Promise<Answer> {
  const type = { 'Content-Type': MEDIA_TYPE.ociManifest }
  return ask(node, 'PUT', `/v2/${repository}/manifests/${reference}`, {
    headers: { ...type, ...headers },
    body: typeof manifest === 'string' ? manifest : new Uint8Array(manifest)
  })
}

/** Pushes an image of one layer. */
export async function putImage(
  node: Registry,
  repository: string,
  tag: string,
  layer: Buffer,
  headers: Record<string, string> = {}
): Promise<PushedImage> {
  const image = imageOf(layer)
  await putBlob(node, repository, Buffer.from('{}'), headers)
  await putBlob(node, repository, layer, headers)
  const { status, body } = await putManifest(node, repository, tag, image.manifest, headers)
  if (status !== 201) throw new Error(`the manifest was answered with ${status}: ${body}`)
  return image
}

/** The manifest of an image with an empty configuration and this layer. */
export function imageOf(content: Buffer): PushedImage {
  const config = descriptorOf(MEDIA_TYPE.ociConfig, Buffer.from('{}'))
  const layer = descriptorOf(MEDIA_TYPE.ociLayerGzip, content)
  const fields = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer] }
  const manifest = Buffer.from(JSON.stringify(fields))
  return { manifest, digest: digestOf(manifest), config, layer }
}

export function descriptorOf(mediaType: string, content: Buffer): Descriptor {
  return { mediaType, digest: digestOf(content), size: content.length }
}
