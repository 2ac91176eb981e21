import { once } from 'node:events'
import { get, request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Descriptor, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { request } from './http.ts'

/** Pushes a blob of any size as a stream: POST, PATCH, PUT (distribution-spec §Pushing a blob in chunks). */
async function pushBlob(
  registryUrl: string,
  repository: string,
  { digest }: Pick<Descriptor, 'digest'>,
  content: Iterable<Uint8Array>
): Promise<void> {
  const started = await request(`${registryUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const session = locationOf(started.headers.get('location'), registryUrl)
  const upload = httpRequest(session, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/octet-stream' }
  })
  const [[patched]] = await Promise.all([
    once(upload, 'response') as Promise<[IncomingMessage]>,
    pipeline(Readable.from(content), upload)
  ])
  patched.resume()
  if (patched.statusCode !== 202) throw new Error(`PATCH answered ${patched.statusCode}`)

  const commit = locationOf(patched.headers.location, registryUrl)
  commit.searchParams.set('digest', digest)
  const committed = await request(commit.href, { method: 'PUT' })
  if (committed.status !== 201) throw new Error(`PUT answered ${committed.status}: ${committed.body.toString()}`)
}

/** Pushes an image of one layer under a tag. @param more fields of its manifest */
export async function pushImage(
  registryUrl: string,
  repository: string,
  tag: string,
  layer: Descriptor,
  content: Iterable<Uint8Array>,
  more: Readonly<Record<string, unknown>> = {}
): Promise<Descriptor> {
  const configBytes = Buffer.from('{}')
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(configBytes), size: configBytes.length }
  await pushBlob(registryUrl, repository, config, [configBytes])
  await pushBlob(registryUrl, repository, layer, content)
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer], ...more }
  return await pushManifest(registryUrl, repository, tag, manifest)
}

/** Pushes a manifest or an index, what it names being there. @param reference tag or digest */
export async function pushManifest(
  registryUrl: string,
  repository: string,
  reference: string,
  manifest: { readonly mediaType: string }
): Promise<Descriptor> {
  const { mediaType } = manifest
  const bytes = Buffer.from(JSON.stringify(manifest))
  const { status, body } = await request(`${registryUrl}/v2/${repository}/manifests/${reference}`, {
    method: 'PUT',
    headers: { 'Content-Type': mediaType },
    body: bytes
  })
  if (status !== 201) throw new Error(`the manifest was answered with ${status}: ${body.toString()}`)
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

/** Begins to pull a blob; the bytes come as they are read. */
export async function openBlob(registryUrl: string, repository: string, digest: string): Promise<IncomingMessage> {
  const [response] = (await once(get(`${registryUrl}/v2/${repository}/blobs/${digest}`), 'response')) as [
    IncomingMessage
  ]
  if (response.statusCode !== 200) throw new Error(`${digest} was answered with ${response.statusCode}`)
  return response
}

function locationOf(location: string | null | undefined, registryUrl: string): URL {
  if (typeof location !== 'string') throw new Error('the registry gave no Location')
  return new URL(location, registryUrl)
}
