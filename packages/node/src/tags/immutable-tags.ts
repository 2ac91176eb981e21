import type { ContentStore } from '@layermesh/content'
import {
  type Digest,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Repository,
  referencedDescriptors,
  type Tag
} from '@layermesh/oci'
import { RepositoryPattern } from '@layermesh/trust'
import { readWhole } from '../backend/resuming-blob.ts'
import { tagPattern } from './tag-pattern.ts'

const PAGE = 1_000
const READ_DEADLINE_MS = 10_000

/** The tags that, once set, can be neither moved nor deleted. */
export class ImmutableTags {
  readonly #rules: readonly { readonly pattern: RepositoryPattern; readonly tags: RegExp }[]
  readonly #takesTurns: (repository: Repository) => boolean

  /**
   * @param takesTurns whether pushes and deletions in a repository take turns for other reasons too
   * @throws {TrustError} POLICY_INVALID
   */
  constructor(
    rules: readonly { readonly repositories: string; readonly tags: string }[],
    takesTurns: (repository: Repository) => boolean = () => false
  ) {
    this.#takesTurns = takesTurns
    this.#rules = rules.map(({ repositories, tags }) => ({
      pattern: new RepositoryPattern(repositories),
      tags: tagPattern(tags)
    }))
  }

  covers(repository: Repository, tag: Tag): boolean {
    return this.#rules.some(({ pattern, tags }) => pattern.matches(repository) && tags.test(tag))
  }

  /** Whether any tag of the repository may be immutable. */
  areIn(repository: Repository): boolean {
    return this.#rules.some(({ pattern }) => pattern.matches(repository))
  }

  /** What pushes and deletions of a manifest take turns by; where tags are immutable or manifests expire, those of the whole repository. */
  turn(repository: Repository, digest: Digest): string {
    return this.areIn(repository) || this.#takesTurns(repository) ? repository : `${repository}@${digest}`
  }

  /** An immutable tag of the repository whose image has this manifest or blob in it; undefined when there is none. */
  async needing(content: ContentStore, repository: Repository, digest: Digest): Promise<Tag | undefined> {
    if (!this.areIn(repository)) return undefined
    const seen = new Set<Digest>()
    for await (const tag of allTags(content, repository)) {
      if (!this.covers(repository, tag)) continue
      const meaning = (await content.tags.get(repository, tag))?.digest
      if (meaning !== undefined && (await isIn(content, meaning, digest, seen))) return tag
    }
    return undefined
  }
}

async function* allTags(content: ContentStore, repository: Repository): AsyncGenerator<Tag> {
  let after: Tag | undefined
  do {
    const page = await content.tags.list(repository, { limit: PAGE, ...(after !== undefined && { after }) })
    yield* page
    after = page.length < PAGE ? undefined : page.at(-1)
  } while (after !== undefined)
}

/** Whether `wanted` is the manifest `root` or named by it, or by one that it names. Those `seen` have been looked at. */
async function isIn(content: ContentStore, root: Digest, wanted: Digest, seen: Set<Digest>): Promise<boolean> {
  if (root === wanted) return true
  if (seen.has(root)) return false
  seen.add(root)
  const reader = await content.blobs.open(root, { use: false })
  if (!reader?.complete) return false
  const manifest = parseManifest(await readWhole(reader, MAX_MANIFEST_BYTES, AbortSignal.timeout(READ_DEADLINE_MS)))
  for (const { digest } of referencedDescriptors(manifest)) {
    if (digest === wanted) return true
    if (manifest.kind === 'index' && (await isIn(content, digest, wanted, seen))) return true
  }
  return false
}
