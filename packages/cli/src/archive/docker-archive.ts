import { type Descriptor, type Digest, digestOf, isOciError, MEDIA_TYPE, mirroredRepository } from '@layermesh/oci'
import { z } from 'zod'
import { CliFailure } from '../failure.ts'
import type { ArchivedImage, ArchivedImages, LoadedManifest } from './archived-images.ts'
import type { ImageFiles } from './image-files.ts'
import { parseJson } from './oci-archive.ts'
import { safeName } from './tar-entries.ts'

/** What `docker save` says of its images (moby, image/tarexport: manifestItem). */
export const DOCKER_MANIFEST_FILE = 'manifest.json'

const MAX_BYTES = 4 * 1024 * 1024
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar'

const manifestSchema = z.array(
  z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()).nullish() })
)
const configSchema = z.object({ rootfs: z.object({ diff_ids: z.array(z.string()) }) })

/**
 * Reads an archive of `docker save` that is no OCI layout. It has no manifests: one is made of each image's config and
 * layers as they are, so that the same archive gives the same digests. Layers are not compressed: their digests would be
 * others on each machine.
 * @throws {CliFailure}
 */
export async function readDockerArchive(files: ImageFiles): Promise<ArchivedImages> {
  const images: ArchivedImage[] = []
  const manifests = new Map<Digest, LoadedManifest>()
  const blobs = new Map<Digest, string>()
  for (const { Config, RepoTags, Layers } of await readImages(files)) {
    const { bytes, config } = await readConfig(files, Config)
    const layers = await readLayers(files, Layers ?? [], config.rootfs.diff_ids)
    const configDigest = digestOf(bytes)
    blobs.set(configDigest, checkedName(Config))
    for (const { name, digest } of layers) blobs.set(digest, name)
    const made = makeManifest({ mediaType: MEDIA_TYPE.ociConfig, digest: configDigest, size: bytes.byteLength }, layers)
    const digest = digestOf(made.bytes)
    manifests.set(digest, made)
    images.push({ digest, names: (RepoTags ?? []).map(dockerName), tags: [] })
  }
  const fileOf = (digest: Digest) => blobs.get(digest) ?? ''
  return { images, referrers: [], manifests, fileOf }
}

async function readImages(files: ImageFiles): Promise<z.output<typeof manifestSchema>> {
  const bytes = await files.read(DOCKER_MANIFEST_FILE, MAX_BYTES)
  const parsed = manifestSchema.safeParse(bytes && parseJson(bytes, DOCKER_MANIFEST_FILE))
  if (parsed.success) return parsed.data
  throw new CliFailure('FAILED', `${DOCKER_MANIFEST_FILE} of the archive is not as docker save writes it`)
}

async function readConfig(files: ImageFiles, name: string) {
  const bytes = await files.read(checkedName(name), MAX_BYTES)
  if (bytes === undefined) throw new CliFailure('FAILED', `the archive is broken: it holds no ${name}`)
  const config = configSchema.safeParse(parseJson(bytes, name))
  if (!config.success) throw new CliFailure('FAILED', `${name} of the archive is no config of an image`)
  return { bytes, config: config.data }
}

interface Layer extends Descriptor {
  readonly name: string
}

/** @param diffIds digests of the layers without compression, by the word of the config */
async function readLayers(files: ImageFiles, names: readonly string[], diffIds: readonly string[]): Promise<Layer[]> {
  if (names.length !== diffIds.length) {
    throw new CliFailure(
      'FAILED',
      `the archive is broken: it has ${names.length} layers where the config names ${diffIds.length}`
    )
  }
  const layers: Layer[] = []
  for (const [index, name] of names.entries()) {
    const file = await files.stat(checkedName(name))
    if (file?.digest === undefined) throw new CliFailure('FAILED', `the archive is broken: it holds no ${name}`)
    const suffix = compressionOf(file.head ?? new Uint8Array())
    if (suffix === '' && file.digest !== diffIds[index]) {
      throw new CliFailure('FAILED', `the archive is broken: ${name} is not the layer that the config names`)
    }
    layers.push({ name: checkedName(name), mediaType: `${LAYER_TYPE}${suffix}`, digest: file.digest, size: file.size })
  }
  return layers
}

/** Some programs compress layers all the same. */
function compressionOf(head: Uint8Array): '' | '+gzip' | '+zstd' {
  const start = Buffer.from(head).toString('hex')
  if (start.startsWith('1f8b')) return '+gzip'
  return start.startsWith('28b52ffd') ? '+zstd' : ''
}

function makeManifest(config: Descriptor, layers: readonly Layer[]): LoadedManifest {
  const mediaType = MEDIA_TYPE.ociManifest
  const plain = layers.map(
    (layer): Descriptor => ({ mediaType: layer.mediaType, digest: layer.digest, size: layer.size })
  )
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: plain }))
  return { bytes, mediaType, manifest: { kind: 'image', mediaType, config, layers: plain } }
}

/** Docker's short names are those of Docker Hub, whatever they were meant to be. */
function dockerName(name: string): string {
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  if (first === 'localhost' || first.includes('.') || first.includes(':')) return name
  const colon = name.lastIndexOf(':')
  const [repository, tag] = colon < 0 ? [name, ''] : [name.slice(0, colon), name.slice(colon)]
  try {
    return `${mirroredRepository('docker.io', repository)}${tag}`
  } catch (error) {
    if (isOciError(error))
      throw new CliFailure('FAILED', `the archive names an image ${JSON.stringify(name.slice(0, 200))}`, {
        cause: error
      })
    throw error
  }
}

/** Names of files stand in the archive too: none of them leads out of it. */
function checkedName(name: string): string {
  const safe = safeName(name)
  if (safe !== undefined && safe !== '') return safe
  throw new CliFailure('FAILED', `the archive is refused: it names the file ${JSON.stringify(name.slice(0, 200))}`)
}
