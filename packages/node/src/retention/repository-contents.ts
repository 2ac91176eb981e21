import type { ContentStore, ManifestEntry, TagEntry } from '@layermesh/content'
import {
  type Descriptor,
  type Digest,
  isIndexType,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type Repository,
  referencedDescriptors,
  type Tag
} from '@layermesh/oci'
import { signerOf } from '@layermesh/trust'
import { readWhole } from '../backend/resuming-blob.ts'

/** A tag that means something. */
export interface HeldTag {
  readonly tag: Tag
  readonly digest: Digest
  /** When it came to mean that, in ms since 1970. */
  readonly changedAt: number
  /** Peer id of the seed whose record is the newest. */
  readonly signer: string | undefined
}

/** A manifest and what it needs or belongs to. */
export interface HeldManifest {
  readonly digest: Digest
  /** When it was pushed, or a tag last began or ceased to mean it, in ms since 1970; undefined when that is not known. */
  readonly at: number | undefined
  readonly subject: Digest | undefined
  /** Of an index, what it names. */
  readonly children: readonly Digest[]
}

/** What a repository has here. */
export interface RepositoryContents {
  readonly tags: readonly HeldTag[]
  readonly manifests: ReadonlyMap<Digest, HeldManifest>
  /** Manifests that the operator has stay here. */
  readonly pinned: readonly Digest[]
  /** A digest whose needs can not be known: an index, or something that a tag means, that is not here. */
  readonly unknown?: Digest
}

const READ_DEADLINE_MS = 10_000
const HISTORY_ENTRIES = 1_000

/** Reads what a repository has here. @throws the reason of `signal` once that ends */
export async function readRepository(
  content: ContentStore,
  repository: Repository,
  signal: AbortSignal
): Promise<RepositoryContents> {
  const tags: HeldTag[] = []
  const meantAt = new Map<Digest, number>()
  for await (const entry of content.tags.of(repository)) {
    signal.throwIfAborted()
    const changedAt = await readHistory(content, repository, entry, meantAt)
    const { tag, digest, envelope } = entry
    if (digest !== undefined) tags.push({ tag, digest, changedAt, signer: signerOf(envelope) })
  }
  const manifests = new Map<Digest, HeldManifest>()
  const needed = new Set<Digest>(tags.map(({ digest }) => digest))
  const pinned: Digest[] = []
  for await (const pin of content.pins.list()) if (pin.repository === repository) pinned.push(pin.digest)
  for (const entry of await content.repositories.manifests(repository)) {
    signal.throwIfAborted()
    const children = await childrenOf(content, entry)
    if (children === undefined) return { tags, manifests, pinned, unknown: entry.digest }
    for (const { digest, mediaType } of children) if (isIndexType(mediaType)) needed.add(digest)
    const names = children.map(({ digest }) => digest)
    manifests.set(entry.digest, heldManifest(entry, names, meantAt.get(entry.digest)))
  }
  const unknown = [...needed].find((digest) => !manifests.has(digest))
  return { tags, manifests, pinned, ...(unknown === undefined ? {} : { unknown }) }
}

/** Notes when manifests were meant last. @returns when the tag was changed last; the time of its record when that is forgotten */
async function readHistory(
  { tags }: ContentStore,
  repository: Repository,
  { tag, digest: meaning, confirmedAt }: TagEntry & { tag: Tag },
  meantAt: Map<Digest, number>
): Promise<number> {
  const history = await tags.history(repository, tag, { limit: HISTORY_ENTRIES })
  for (const { digest, previous, at } of history) {
    for (const each of [digest, previous]) {
      if (each !== undefined) meantAt.set(each, Math.max(at, meantAt.get(each) ?? at))
    }
  }
  const [last] = history
  return last?.digest === meaning && last !== undefined ? last.at : confirmedAt
}

function heldManifest(
  { digest, at, subject }: ManifestEntry,
  children: readonly Digest[],
  meantAt: number | undefined
): HeldManifest {
  return { digest, subject, children, at: at === undefined ? undefined : Math.max(at, meantAt ?? at) }
}

/** What an index names; nothing of an image. Undefined when the index can not be read. */
async function childrenOf(
  { blobs }: ContentStore,
  { digest, mediaType }: ManifestEntry
): Promise<readonly Descriptor[] | undefined> {
  if (!isIndexType(mediaType)) return []
  const reader = await blobs.open(digest, { use: false })
  if (!reader?.complete) return undefined
  const bytes = await readWhole(reader, MAX_MANIFEST_BYTES, AbortSignal.timeout(READ_DEADLINE_MS))
  return referencedDescriptors(parseManifest(bytes, mediaType))
}
