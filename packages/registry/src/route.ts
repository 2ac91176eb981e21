import { type Digest, OciError, parseDigest, parseTag, type Tag } from '@layermesh/oci'
import { decodeOnce } from './query.ts'

/** What a manifest is asked for by. */
export type Reference =
  | { readonly digest: Digest; readonly tag?: undefined }
  | { readonly tag: Tag; readonly digest?: undefined }

/** Where a path of the API leads. `name` is not yet checked: it may start with a registry host (see `addressing.ts`). */
export type Route =
  | { readonly endpoint: 'base' }
  | { readonly endpoint: 'catalog' }
  | { readonly endpoint: 'tags'; readonly name: string }
  | { readonly endpoint: 'manifest'; readonly name: string; readonly reference: Reference }
  | { readonly endpoint: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly endpoint: 'referrers'; readonly name: string; readonly digest: Digest }
  | { readonly endpoint: 'uploads'; readonly name: string }
  | { readonly endpoint: 'upload'; readonly name: string; readonly id: string }

/** A route that lies in a repository. */
export type RepositoryRoute = Extract<Route, { readonly name: string }>

const ORIGIN = /^https?:\/\/[^/?]*/i
const SMUGGLED = /%2f|%5c|%00|\\/i
const UPLOAD_ID = /^[A-Za-z0-9_-]{1,128}$/

/**
 * Reads the target of a request (distribution-spec §Endpoints). A repository's name may hold the words `blobs`,
 * `manifests`, `tags`, `uploads` and `referrers`, so the path is read from its end. Undefined when no endpoint is there.
 *
 * @param path the path as it came, still percent-encoded, without the query
 * @throws {OciError} NAME_INVALID for a path that two readers could understand differently; DIGEST_INVALID, TAG_INVALID
 */
export function parseRoute(path: string): Route | undefined {
  const segments = splitPath(path.replace(ORIGIN, ''))
  if (segments.shift() !== 'v2') return undefined
  if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) return { endpoint: 'base' }
  if (segments.length === 1 && segments[0] === '_catalog') return { endpoint: 'catalog' }
  return parseRepositoryRoute(segments)
}

/** The decoded parts between the slashes. An empty one can only be the last: the path ended with a slash. */
function splitPath(path: string): string[] {
  if (SMUGGLED.test(path) || path.includes('//')) throw ambiguousPath()
  const segments = decodeOnce(path).split('/')
  if (segments.shift() !== '' || segments.some((segment) => segment === '.' || segment === '..')) throw ambiguousPath()
  return segments
}

function ambiguousPath(): OciError {
  return new OciError('NAME_INVALID', 'a path has no empty, relative or escaped separators')
}

function parseRepositoryRoute(segments: readonly string[]): Route | undefined {
  const last = segments.at(-1) ?? ''
  const keyword = segments.at(-2)
  const name = (dropped: number) => segments.slice(0, -dropped).join('/')
  if (keyword === 'uploads' && segments.at(-3) === 'blobs' && segments.length > 3) return uploadRoute(name(3), last)
  if (segments.length < 3 || last === '') return undefined
  switch (keyword) {
    case 'tags':
      return last === 'list' ? { endpoint: 'tags', name: name(2) } : undefined
    case 'manifests':
      return { endpoint: 'manifest', name: name(2), reference: parseReference(last) }
    case 'blobs':
      if (last === 'uploads') return { endpoint: 'uploads', name: name(2) }
      return { endpoint: 'blob', name: name(2), digest: parseDigest(last) }
    case 'referrers':
      return { endpoint: 'referrers', name: name(2), digest: parseDigest(last) }
    default:
      return undefined
  }
}

/** `…/blobs/uploads/` starts a session, `…/blobs/uploads/ID` is one. */
function uploadRoute(name: string, id: string): Route {
  if (id === '') return { endpoint: 'uploads', name }
  if (UPLOAD_ID.test(id)) return { endpoint: 'upload', name, id }
  throw new OciError('BLOB_UPLOAD_UNKNOWN', 'there is no such upload')
}

/** What holds a colon is meant as a digest and never looked up as a tag. */
function parseReference(text: string): Reference {
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: parseTag(text) }
}
