import { generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { type Descriptor, type Digest, digestHex, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { request } from '../http.ts'
import { pushImage, pushManifest } from '../registry-client.ts'

const PAYLOAD = 'application/vnd.dev.cosign.simplesigning.v1+json'
const SIGNATURE = 'dev.cosignproject.cosign/signature'

/** Signs images as cosign does (sigstore/cosign, specs/SIGNATURE_SPEC.md). */
export class Signer {
  readonly #keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }

  constructor() {
    this.#keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  }

  /**
   * Puts a signature beside an image, under the tag that cosign gives it.
   * @param name by which whoever verifies it knows the repository, such as `docker.io/library/app`
   * @returns the tag
   */
  async sign(registryUrl: string, repository: string, name: string, digest: Digest): Promise<string> {
    const critical = {
      identity: { 'docker-reference': name },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature'
    }
    const payload = Buffer.from(JSON.stringify({ critical, optional: null }))
    const annotations = { [SIGNATURE]: sign('sha256', payload, this.#keys.privateKey).toString('base64') }
    const layer = { mediaType: PAYLOAD, digest: digestOf(payload), size: payload.length, annotations }
    const tag = tagFor(digest)
    await pushImage(registryUrl, repository, tag, layer, [payload])
    return tag
  }

  /**
   * Looks for the signature of an image at a registry, as `cosign verify` does.
   * @throws when there is none, or none that is right
   */
  async verify(registryUrl: string, repository: string, digest: Digest): Promise<void> {
    const get = async (path: string) => {
      const headers = { Accept: MEDIA_TYPE.ociManifest }
      const { status, body } = await request(`${registryUrl}/v2/${repository}/${path}`, { headers })
      if (status !== 200) throw new Error(`${path} was answered with ${status}`)
      return body
    }
    const manifest = JSON.parse((await get(`manifests/${tagFor(digest)}`)).toString()) as { layers: [Descriptor] }
    const [layer] = manifest.layers
    const payload = await get(`blobs/${layer.digest}`)
    const signature = Buffer.from(layer.annotations?.[SIGNATURE] ?? '', 'base64')
    if (!verify('sha256', payload, this.#keys.publicKey, signature)) throw new Error('the signature is wrong')
    const { critical } = JSON.parse(payload.toString()) as { critical: { image: Record<string, string> } }
    if (critical.image['docker-manifest-digest'] !== digest) throw new Error('it signs another image')
  }
}

function tagFor(digest: Digest): string {
  return `${digest.replace(':', '-')}.sig`
}

/**
 * Attaches an artifact to an image at a registry that knows no referrers: a manifest with a `subject`, and an index under
 * the fallback tag that names it (distribution-spec §Referrers Tag Schema).
 * @returns the digest of the artifact's manifest
 */
export async function attachArtifact(
  registryUrl: string,
  repository: string,
  subject: { readonly mediaType: string; readonly digest: Digest; readonly size: number },
  artifactType: string,
  content: Buffer
): Promise<Digest> {
  const layer = { mediaType: 'application/octet-stream', digest: digestOf(content), size: content.length }
  const more = { artifactType, subject }
  const { digest, size } = await pushImage(
    registryUrl,
    repository,
    `artifact-${digestHex(layer.digest)}`,
    layer,
    [content],
    more
  )
  const mediaType = MEDIA_TYPE.ociManifest
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [{ mediaType, digest, size, artifactType }]
  }
  await pushManifest(registryUrl, repository, subject.digest.replace(':', '-'), index)
  return digest
}
