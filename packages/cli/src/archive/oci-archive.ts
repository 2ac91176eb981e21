import {
  type Descriptor,
  type Digest,
  isDigest,
  isManifestType,
  isOciError,
  parseImageReference,
  parseManifest,
  parseTag
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import {
  type ArchivedImage,
  type ArchivedImages,
  type ArchivedReferrer,
  blobFile,
  LayoutManifests
} from './archived-images.ts'
import type { ImageFiles } from './image-files.ts'

export const LAYOUT_FILE = 'oci-layout'
export const INDEX_FILE = 'index.json'
export const LAYOUT_VERSION = '1.0.0'
/** Annotations by which an image is named (image-spec §Pre-Defined Annotation Keys; containerd's images/archive). */
export const REF_NAME = 'org.opencontainers.image.ref.name'
export const CONTAINERD_NAME = 'io.containerd.image.name'

const MAX_INDEX_BYTES = 4 * 1024 * 1024
const MAX_LAYOUT_BYTES = 4 * 1024
/** `sha256-HEX`, and what cosign puts after it. */
const REFERRERS_TAG = /^(sha256|sha512)-([0-9a-f]+)(\..+)?$/

/** Reads an OCI image layout (image-spec §Image Layout). @throws {CliFailure} */
export async function readOciLayout(files: ImageFiles): Promise<ArchivedImages> {
  await checkVersion(files)
  const manifests = new LayoutManifests(files)
  const images = new Map<Digest, { names: string[]; tags: string[] }>()
  const referrers: ArchivedReferrer[] = []
  for (const descriptor of await readIndex(files)) {
    if (!isManifestType(descriptor.mediaType)) {
      throw new CliFailure('FAILED', `${INDEX_FILE} names something of type ${descriptor.mediaType}, which is no image`)
    }
    const loaded = await manifests.load(descriptor)
    if (loaded === undefined)
      throw new CliFailure('FAILED', `the archive is broken: it holds no ${blobFile(descriptor.digest)}`)
    const referrer = referrerOf(descriptor, loaded.manifest.subject?.digest)
    if (referrer !== undefined) referrers.push(referrer)
    else {
      const image = images.get(descriptor.digest) ?? { names: [], tags: [] }
      const { name, tag } = nameOf(descriptor.annotations ?? {})
      if (name !== undefined && !image.names.includes(name)) image.names.push(name)
      if (tag !== undefined && !image.tags.includes(tag)) image.tags.push(tag)
      images.set(descriptor.digest, image)
    }
  }
  const all: ArchivedImage[] = [...images].map(([digest, { names, tags }]) => ({ digest, names, tags }))
  return { images: all, referrers, manifests: manifests.loaded, fileOf: blobFile }
}

async function checkVersion(files: ImageFiles): Promise<void> {
  const bytes = await files.read(LAYOUT_FILE, MAX_LAYOUT_BYTES)
  const layout: unknown = bytes && parseJson(bytes, LAYOUT_FILE)
  const version =
    typeof layout === 'object' && layout !== null && 'imageLayoutVersion' in layout && layout.imageLayoutVersion
  if (version === LAYOUT_VERSION) return
  throw new CliFailure(
    'FAILED',
    `${LAYOUT_FILE} names the version ${String(version)}, of which only ${LAYOUT_VERSION} is known`
  )
}

async function readIndex(files: ImageFiles): Promise<readonly Descriptor[]> {
  const bytes = await files.read(INDEX_FILE, MAX_INDEX_BYTES)
  if (bytes === undefined) throw new CliFailure('FAILED', `the archive is broken: it holds no ${INDEX_FILE}`)
  try {
    const index = parseManifest(bytes)
    if (index.kind === 'index') return index.manifests
  } catch (error) {
    if (!isOciError(error)) throw error
    throw new CliFailure('FAILED', `${INDEX_FILE} of the archive can not be used: ${error.message}`, { cause: error })
  }
  throw new CliFailure('FAILED', `${INDEX_FILE} of the archive is no index`)
}

/** What has a subject is about that one, and so is what is tagged as older clients tag what is about an image. */
function referrerOf(
  { digest, annotations = {} }: Descriptor,
  subject: Digest | undefined
): ArchivedReferrer | undefined {
  const tag = annotations[REF_NAME]
  const [, algorithm, hex] = REFERRERS_TAG.exec(tag ?? '') ?? []
  const tagged = `${algorithm}:${hex}`
  if (tag !== undefined && isDigest(tagged)) return { digest, subject: tagged, tag }
  return subject === undefined ? undefined : { digest, subject }
}

/** A whole name where one is told, else a tag alone, which is all that many programs write. */
function nameOf(annotations: Readonly<Record<string, string>>): { name?: string; tag?: string } {
  const { [REF_NAME]: told, [CONTAINERD_NAME]: whole } = annotations
  if (told !== undefined && /[:/]/.test(told) && isReference(told)) return { name: told }
  if (whole !== undefined && isReference(whole)) return { name: whole }
  return told !== undefined && isTag(told) ? { tag: told } : {}
}

function isReference(text: string): boolean {
  return succeeds(() => parseImageReference(text))
}

function isTag(text: string): boolean {
  return succeeds(() => parseTag(text))
}

function succeeds(parse: () => unknown): boolean {
  try {
    parse()
    return true
  } catch (error) {
    if (isOciError(error)) return false
    throw error
  }
}

/** @throws {CliFailure} */
export function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
  } catch (cause) {
    throw new CliFailure('FAILED', `${name} of the archive is no JSON`, { cause })
  }
}
