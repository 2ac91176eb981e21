import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageReference,
  isOciError,
  isPlatform,
  type Platform,
  parseImageReference,
  parseTag,
  type Repository,
  referencedDescriptors,
  type Tag
} from '@layermesh/oci'
import { CliFailure } from '../failure.ts'
import type { ArchivedImage, ArchivedImages } from './archived-images.ts'

export interface ImportChoice {
  /** What the image is to be called; without it, as the archive calls it. */
  readonly as?: string
  /** Which image of several: one of its names or tags, or its digest. */
  readonly image?: string
  /** Which image out of an index; without it, all of them under their index. */
  readonly platform?: Platform
  /** Takes the registry itself off a name. */
  withoutRegistry(name: string): string
}

/** A manifest that is to be pushed. */
export interface PlannedManifest {
  readonly digest: Digest
  readonly tags: readonly Tag[]
}

/** What goes into one repository. */
export interface PlannedRepository {
  readonly repository: Repository
  readonly blobs: readonly Descriptor[]
  /** Each after all that it names. */
  readonly manifests: readonly PlannedManifest[]
}

/** What is to be pushed where, so that an archive's images are in the mesh. @throws {CliFailure} */
export function planImport(archive: ArchivedImages, choice: ImportChoice): PlannedRepository[] {
  const images = chosenImages(archive.images, choice)
  const plans = new Map<Repository, RepositoryPlan>()
  for (const image of images) {
    const root = choice.platform === undefined ? image.digest : ofPlatform(archive, image.digest, choice.platform)
    for (const { repository, tag } of referencesOf(image, choice)) {
      const plan = plans.get(repository) ?? new RepositoryPlan(archive)
      plans.set(repository, plan)
      plan.add(root, tag)
    }
  }
  return [...plans].map(([repository, plan]) => {
    plan.addReferrers()
    return { repository, blobs: plan.blobs, manifests: plan.manifests }
  })
}

function chosenImages(images: readonly ArchivedImage[], { image: wanted, as }: ImportChoice): readonly ArchivedImage[] {
  const chosen = wanted === undefined ? images : images.filter((image) => namesOf(image).includes(wanted))
  if (chosen.length === 0) {
    throw new CliFailure(
      'FAILED',
      wanted === undefined ? 'the archive holds no image' : `the archive holds no image ${wanted}; ${listOf(images)}`
    )
  }
  if (as === undefined || chosen.length === 1) return chosen
  throw new CliFailure(
    'USAGE',
    `--as names one image, and the archive holds ${chosen.length}: choose one with --image; ${listOf(images)}`
  )
}

function namesOf({ digest, names, tags }: ArchivedImage): readonly string[] {
  return [digest, ...names, ...tags]
}

function listOf(images: readonly ArchivedImage[]): string {
  return `it holds ${images.map((image) => namesOf(image).at(-1)).join(', ')}`
}

interface Target {
  readonly repository: Repository
  readonly tag: Tag
}

function referencesOf(image: ArchivedImage, { as, withoutRegistry }: ImportChoice): Target[] {
  const own = image.names.map((name) => parseName(withoutRegistry(name)))
  if (as !== undefined) {
    const { repository, tag, digest } = parseName(withoutRegistry(as))
    if (digest !== undefined) throw new CliFailure('USAGE', '--as takes a tag, no digest: the image has its own')
    const isTagged = as.lastIndexOf(':') > as.lastIndexOf('/')
    const known = [...own.flatMap((name) => name.tag ?? []), ...image.tags.map(parseTag)]
    const tags = isTagged || known.length === 0 ? [tag as Tag] : [...new Set(known)]
    return tags.map((one) => ({ repository, tag: one }))
  }
  if (own.length > 0) return own.map(({ repository, tag }) => ({ repository, tag: tag as Tag }))
  const what = image.tags.length === 0 ? image.digest : `${image.digest}, tagged ${image.tags.join(', ')},`
  throw new CliFailure(
    'USAGE',
    `the image ${what} has no name in the archive; say with --as NAME[:TAG] what it is to be called`
  )
}

function parseName(name: string): ImageReference {
  try {
    return parseImageReference(name)
  } catch (error) {
    if (!isOciError(error)) throw error
    throw new CliFailure('USAGE', `${name} names no image: ${error.message}; say with --as what it is to be called`, {
      cause: error
    })
  }
}

function ofPlatform({ manifests }: ArchivedImages, digest: Digest, platform: Platform): Digest {
  const manifest = manifests.get(digest)?.manifest
  if (manifest?.kind !== 'index') return digest
  const child = manifest.manifests.find((one) => isPlatform(one.platform, platform) && manifests.has(one.digest))
  if (child !== undefined) return child.digest
  throw new CliFailure('FAILED', `the archive does not hold the image for ${formatPlatform(platform)}`)
}

/** What goes into one repository, each part once. */
class RepositoryPlan {
  readonly #archive: ArchivedImages
  readonly #blobs = new Map<Digest, Descriptor>()
  readonly #tags = new Map<Digest, Set<Tag>>()

  constructor(archive: ArchivedImages) {
    this.#archive = archive
  }

  get blobs(): readonly Descriptor[] {
    return [...this.#blobs.values()]
  }

  get manifests(): readonly PlannedManifest[] {
    return [...this.#tags].map(([digest, tags]) => ({ digest, tags: [...tags] }))
  }

  add(digest: Digest, tag?: Tag): void {
    this.#include(digest)
    if (tag !== undefined) this.#tags.get(digest)?.add(tag)
  }

  /** What the archive has that is about what is here, and what is about that. */
  addReferrers(): void {
    let added = true
    while (added) {
      added = false
      for (const { digest, subject, tag } of this.#archive.referrers) {
        if (this.#tags.has(digest) || !this.#tags.has(subject)) continue
        this.add(digest, tag === undefined ? undefined : parseTag(tag))
        added = true
      }
    }
  }

  /** What it names first. @param siblings what the index names that names this one */
  #include(digest: Digest, siblings: readonly Descriptor[] = []): void {
    if (this.#tags.has(digest)) return
    const loaded = this.#archive.manifests.get(digest)
    if (loaded === undefined) throw this.#incomplete(digest, siblings)
    const { manifest } = loaded
    const parts = referencedDescriptors(manifest)
    for (const part of parts) {
      if (manifest.kind === 'index') this.#include(part.digest, parts)
      else this.#blobs.set(part.digest, part)
    }
    this.#tags.set(digest, new Set())
  }

  /** `docker save` of Docker 29 writes the index of all platforms with the image of one. */
  #incomplete(digest: Digest, siblings: readonly Descriptor[]): CliFailure {
    const { manifests } = this.#archive
    const [missing] = platformsOf(siblings.filter((one) => one.digest === digest))
    const held = platformsOf(siblings.filter((one) => manifests.has(one.digest)))
    const image = missing === undefined ? 'the image' : `the image for ${missing}`
    const flag = held.length === 0 ? '--platform' : `--platform ${held.join(' or ')}`
    return new CliFailure(
      'FAILED',
      `the archive does not hold ${image} that its index names (${digest}); import one that it holds with ${flag}`
    )
  }
}

function platformsOf(descriptors: readonly Descriptor[]): readonly string[] {
  return descriptors.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)]))
}
