import { type Digest, parseDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { looksLikeHost, parseRepository, parseTag, type Repository, type Tag } from './repository.ts'

/** An image as a user names it: by tag, by digest, or by both, in which case the digest decides. */
export interface ImageReference {
  readonly repository: Repository
  readonly tag?: Tag
  readonly digest?: Digest
}

const DEFAULT_TAG = 'latest'
const MAX_REFERENCE_LENGTH = 1024

/**
 * Reads `[host[:port]/]name[:tag][@digest]`. A name without a host is one of the mesh's own repositories: no registry
 * is assumed. Without tag and digest the tag is `latest`.
 * @throws {OciError} NAME_INVALID, TAG_INVALID, DIGEST_INVALID
 */
export function parseImageReference(text: string): ImageReference {
  if (text.length > MAX_REFERENCE_LENGTH)
    throw new OciError('NAME_INVALID', 'an image reference is not as long as this')
  const [named, digest] = splitOnce(text, text.indexOf('@'))
  const colon = named.lastIndexOf(':')
  const [name, tag] = splitOnce(named, colon > named.lastIndexOf('/') ? colon : -1)
  const repository = parseRepository(lowerCaseHost(name))
  if (digest === undefined) return { repository, tag: parseTag(tag ?? DEFAULT_TAG) }
  return { repository, ...(tag === undefined ? {} : { tag: parseTag(tag) }), digest: parseDigest(digest) }
}

/** Writes a reference so that {@link parseImageReference} reads the same. */
export function formatImageReference(reference: ImageReference): string {
  const { repository, tag, digest } = reference
  return `${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** What stands before and after the character at `index`; all of it before when there is none. */
function splitOnce(text: string, index: number): [string, string?] {
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)]
}

/** Hosts are the one part of a name in which case means nothing. */
function lowerCaseHost(name: string): string {
  const slash = Math.max(name.indexOf('/'), 0)
  const host = name.slice(0, slash).toLowerCase()
  return looksLikeHost(host) ? `${host}${name.slice(slash)}` : name
}
