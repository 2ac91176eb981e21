import type { Descriptor } from './descriptor.ts'
import type { Digest } from './digest.ts'
import { OciError } from './errors.ts'
import {
  invalidManifest,
  type JsonObject,
  readAnnotations,
  readDescriptor,
  readDescriptors,
  readObject,
  readOptionalString,
  refuseLookalikes
} from './manifest-fields.ts'
import { isImageManifestType, isIndexType, isManifestType, isNonDistributable, MEDIA_TYPE } from './media-types.ts'
import { parseStrictJson, StrictJsonError } from './strict-json.ts'

/** The longest manifest, in bytes: the most that other registries store and that containerd reads. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
const MAX_DEPTH = 64

/** What both kinds of manifest may tell of themselves. */
interface ManifestCommon {
  /** A function of the bytes alone, so that every node serves them as the same type. */
  readonly mediaType: string
  /** The manifest that this one refers to; it need not exist. */
  readonly subject?: Descriptor
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** One image or artifact: OCI image manifest, Docker manifest version 2 schema 2. */
export interface ImageManifest extends ManifestCommon {
  readonly kind: 'image'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** A list of manifests: OCI image index, Docker manifest list. */
export interface IndexManifest extends ManifestCommon {
  readonly kind: 'index'
  readonly manifests: readonly Descriptor[]
}

export type Manifest = ImageManifest | IndexManifest

/**
 * Reads and checks a manifest (image-spec §Image Manifest, §Image Index; Docker's schema 2). What two readers could
 * understand differently is refused: a duplicate key, a shape that is image and index at once (CVE-2021-41190), a type
 * that is not the one told in `contentType`.
 *
 * @param contentType the type under which the manifest came, when one was told
 * @throws {OciError} MANIFEST_TOO_LARGE, MANIFEST_INVALID, DIGEST_INVALID
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) {
    throw new OciError('MANIFEST_TOO_LARGE', `a manifest has at most ${MAX_MANIFEST_BYTES} bytes`)
  }
  const fields = readObject(parseJson(bytes), 'the manifest')
  refuseLookalikes(fields, KNOWN_FIELDS, 'the manifest')
  refuseSchema1(fields)
  const kind = kindOf(fields)
  const mediaType = mediaTypeOf(fields, kind)
  checkContentType(contentType, mediaType)
  const common = { mediaType, ...readCommonFields(fields) }
  if (kind === 'index') return { kind, ...common, manifests: readDescriptors(fields.manifests, 'manifests') }
  return {
    kind,
    ...common,
    config: readDescriptor(fields.config, 'config'),
    layers: readDescriptors(fields.layers, 'layers')
  }
}

/**
 * The content that must be here before a registry accepts the manifest: config, layers, children. Layers that may lie
 * elsewhere and the subject are not among it (distribution-spec §Pushing Manifests, §Pushing Manifests with Subject).
 */
export function referencedDescriptors(manifest: Manifest): Descriptor[] {
  if (manifest.kind === 'index') return [...manifest.manifests]
  return [manifest.config, ...manifest.layers.filter((layer) => !isNonDistributable(layer.mediaType))]
}

/** All content that a manifest names but its subject, wherever it lies. */
export function namedDescriptors(manifest: Manifest): Descriptor[] {
  return manifest.kind === 'index' ? [...manifest.manifests] : [manifest.config, ...manifest.layers]
}

/** What the referrers API tells of a manifest (distribution-spec §Listing Referrers): an image without artifactType has its config's type. */
export function referrerOf(manifest: Manifest, digest: Digest, size: number): Descriptor {
  const artifactType = manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config.mediaType : undefined)
  const { mediaType, annotations } = manifest
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations })
  }
}

const KNOWN_FIELDS = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'subject',
  'annotations',
  'fsLayers'
]

function parseJson(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes, MAX_DEPTH)
  } catch (error) {
    if (error instanceof StrictJsonError) throw invalidManifest(`the manifest ${error.message}`, error)
    throw error
  }
}

function refuseSchema1(fields: JsonObject): void {
  const { schemaVersion, mediaType } = fields
  const isSchema1Type = mediaType === MEDIA_TYPE.dockerSchema1 || mediaType === MEDIA_TYPE.dockerSchema1Signed
  if (schemaVersion === 1 || isSchema1Type || 'fsLayers' in fields) {
    throw invalidManifest('Docker manifests of schema 1 are not supported; push the image again with a current client')
  }
  if (schemaVersion !== 2) throw invalidManifest('schemaVersion must be 2')
}

/** Image or index, by the keys that are there, be they null: another reader may go by the key alone. */
function kindOf(fields: JsonObject): Manifest['kind'] {
  const isIndex = 'manifests' in fields
  const isImage = 'config' in fields || 'layers' in fields
  if (isIndex && isImage) throw invalidManifest('a manifest can not have both manifests and config or layers')
  if (!isIndex && !isImage) throw invalidManifest('a manifest must have either config and layers, or manifests')
  return isIndex ? 'index' : 'image'
}

/** The type that the body names; OCI's for its shape when it names none (Docker's types must be named). */
function mediaTypeOf(fields: JsonObject, kind: Manifest['kind']): string {
  const named = readOptionalString(fields.mediaType, 'mediaType')
  if (named === undefined) return kind === 'index' ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest
  if (!isManifestType(named)) throw invalidManifest('mediaType is none of an OCI or Docker schema 2 manifest or index')
  if (kind === 'index' ? isIndexType(named) : isImageManifestType(named)) return named
  throw invalidManifest(`mediaType does not fit the body, which is an ${kind}`)
}

function checkContentType(contentType: string | undefined, mediaType: string): void {
  if (contentType === undefined) return
  const [essence = ''] = contentType.split(';', 1)
  if (essence.trim().toLowerCase() === mediaType) return
  throw invalidManifest(`the manifest came as ${essence.trim().slice(0, 200)} but is ${mediaType}`)
}

function readCommonFields(fields: JsonObject): Omit<ManifestCommon, 'mediaType'> {
  const hasSubject = fields.subject !== undefined && fields.subject !== null
  const artifactType = readOptionalString(fields.artifactType, 'artifactType')
  const annotations = readAnnotations(fields.annotations, 'annotations')
  return {
    ...(hasSubject ? { subject: readDescriptor(fields.subject, 'subject') } : {}),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations })
  }
}
