import {
  type Digest,
  OciError,
  parseDigest,
  parseRepository,
  parseTag,
  type Repository,
  type Tag
} from '@layermesh/oci'
import type { AuthenticateRequest, DeleteRequest, ListAnswer, ListPage, PushRequest, TagAnswer } from '../interfaces.ts'
import { readAnswer } from '../wire/failures.ts'
import { encodeFields, Fields, malformed, readValue } from '../wire/fields.ts'

/** A signed tag record is far smaller; this is the bound before it is looked at. */
const MAX_RECORD_BYTES = 8_192
/** The longest page of the registry's API, and one name more that tells whether another page follows. */
const MAX_LIST = 1_001
const MAX_TAGS_PER_PUSH = 64
const MAX_REFERRERS_BYTES = 768 * 1024
/** What a client shows of itself, and a token made of it: what fits into an HTTP header. */
const MAX_CREDENTIAL_LENGTH = 8_192
const MAX_SCOPES = 32
const MAX_ADDRESS_LENGTH = 64

/** One request of the tag protocol (PROTOCOL.md §Tag). */
export type TagRequest =
  | { readonly op: 'resolve'; readonly repository: Repository; readonly tag: Tag }
  | { readonly op: 'offer'; readonly envelope: Uint8Array }
  | { readonly op: 'list-tags'; readonly repository: Repository; readonly page: ListPage }
  | { readonly op: 'list-repositories'; readonly page: ListPage }
  | { readonly op: 'list-referrers'; readonly repository: Repository; readonly subject: Digest }
  | { readonly op: 'push'; readonly push: PushRequest }
  | { readonly op: 'delete'; readonly target: DeleteRequest }
  | { readonly op: 'authenticate'; readonly request: AuthenticateRequest }
  | { readonly op: 'complete'; readonly repository: Repository; readonly digest: Digest }

export function encodeTagRequest(request: TagRequest): Uint8Array {
  switch (request.op) {
    case 'resolve':
    case 'offer':
    case 'list-referrers':
    case 'complete':
      return encodeFields({ ...request })
    case 'list-tags':
      return encodeFields({ op: request.op, repository: request.repository, ...request.page })
    case 'list-repositories':
      return encodeFields({ op: request.op, ...request.page })
    case 'push': {
      const { repository, manifest, tags, credential } = request.push
      return encodeFields({ op: 'push', repository, ...manifest, tags, credential })
    }
    case 'delete':
      return encodeFields({ op: 'delete', ...request.target })
    case 'authenticate':
      return encodeFields({ op: 'authenticate', ...request.request })
  }
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} UNSUPPORTED for an operation that is not known */
export function decodeTagRequest(bytes: Uint8Array): TagRequest {
  const fields = new Fields(bytes)
  const op = fields.text('op', 32)
  switch (op) {
    case 'resolve':
      return { op, repository: repository(fields), tag: readValue(parseTag, fields.text('tag')) }
    case 'offer':
      return { op, envelope: fields.bytes('envelope', MAX_RECORD_BYTES) }
    case 'list-tags':
      return { op, repository: repository(fields), page: page(fields) }
    case 'list-repositories':
      return { op, page: page(fields) }
    case 'list-referrers':
      return { op, repository: repository(fields), subject: readValue(parseDigest, fields.text('subject')) }
    case 'push': {
      const manifest = {
        digest: readValue(parseDigest, fields.text('digest')),
        mediaType: fields.text('mediaType'),
        size: fields.integer('size')
      }
      const tags = fields.texts('tags', MAX_TAGS_PER_PUSH).map((tag) => readValue(parseTag, tag))
      return { op, push: { repository: repository(fields), manifest, tags, ...credential(fields) } }
    }
    case 'delete': {
      const kind = (['tag', 'manifest', 'blob'] as const).find((known) => known === fields.text('kind'))
      if (kind === undefined) throw malformed('kind of what is to be deleted')
      const reference = fields.text('reference')
      return { op, target: { repository: repository(fields), kind, reference, ...credential(fields) } }
    }
    case 'authenticate':
      return {
        op,
        request: {
          authorization: fields.text('authorization', MAX_CREDENTIAL_LENGTH),
          scopes: fields.texts('scopes', MAX_SCOPES),
          address: fields.text('address', MAX_ADDRESS_LENGTH)
        }
      }
    case 'complete':
      return { op, repository: repository(fields), digest: readValue(parseDigest, fields.text('digest')) }
    default:
      throw new OciError('UNSUPPORTED', 'this node knows no such operation')
  }
}

export function encodeTagAnswer({ envelope, confirmedAt, authoritative }: TagAnswer): Uint8Array {
  return encodeFields({ envelope, confirmedAt, authoritative })
}

export function decodeTagAnswer(bytes: Uint8Array): TagAnswer {
  const fields = readAnswer(bytes)
  const envelope = fields.optional('envelope', (f, name) => f.bytes(name, MAX_RECORD_BYTES))
  return {
    confirmedAt: fields.integer('confirmedAt'),
    authoritative: fields.flag('authoritative'),
    ...(envelope === undefined ? {} : { envelope })
  }
}

export function encodeListAnswer({ names, authoritative }: ListAnswer): Uint8Array {
  return encodeFields({ names, authoritative })
}

export function decodeListAnswer(bytes: Uint8Array): ListAnswer {
  const fields = readAnswer(bytes)
  const names = fields.optional('names', (f, name) => f.texts(name, MAX_LIST))
  return { authoritative: fields.flag('authoritative'), ...(names === undefined ? {} : { names }) }
}

export function encodeReferrersAnswer({
  descriptors,
  authoritative
}: {
  descriptors: Uint8Array
  authoritative: boolean
}): Uint8Array {
  if (descriptors.byteLength > MAX_REFERRERS_BYTES)
    throw new OciError('UNAVAILABLE', 'there are too many referrers for one answer')
  return encodeFields({ descriptors, authoritative })
}

export function decodeReferrersAnswer(bytes: Uint8Array): { descriptors: Uint8Array; authoritative: boolean } {
  const fields = readAnswer(bytes)
  return { descriptors: fields.bytes('descriptors', MAX_REFERRERS_BYTES), authoritative: fields.flag('authoritative') }
}

export function encodePushAnswer(envelopes: readonly Uint8Array[]): Uint8Array {
  return encodeFields({ envelopes })
}

export function decodePushAnswer(bytes: Uint8Array): Uint8Array[] {
  return readAnswer(bytes).list('envelopes', MAX_TAGS_PER_PUSH, (value) => {
    if (!(value instanceof Uint8Array) || value.byteLength > MAX_RECORD_BYTES) throw malformed('record')
    return value
  })
}

export function encodeDeleteAnswer(deleted: boolean): Uint8Array {
  return encodeFields({ deleted })
}

export function decodeDeleteAnswer(bytes: Uint8Array): boolean {
  return readAnswer(bytes).flag('deleted')
}

export function encodeTokenAnswer(token: string): Uint8Array {
  return encodeFields({ token })
}

export function decodeTokenAnswer(bytes: Uint8Array): string {
  return readAnswer(bytes).text('token', MAX_CREDENTIAL_LENGTH)
}

function repository(fields: Fields): Repository {
  return readValue(parseRepository, fields.text('repository'))
}

function credential(fields: Fields): { credential?: string } {
  const shown = fields.optional('credential', (f, name) => f.text(name, MAX_CREDENTIAL_LENGTH))
  return shown === undefined ? {} : { credential: shown }
}

function page(fields: Fields): ListPage {
  const after = fields.optional('after', (f, name) => f.text(name))
  return { limit: fields.integer('limit', MAX_LIST), ...(after === undefined ? {} : { after }) }
}
