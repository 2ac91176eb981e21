import {
  type Digest,
  isDigest,
  isOciError,
  MAX_MANIFEST_BYTES,
  parseRepository,
  parseTag,
  type Repository,
  type Tag
} from '@layermesh/oci'
import type { PrivateKey } from '@libp2p/interface'
import { TrustError } from './errors.ts'
import { malformed, numberField, type PayloadFields, textField, type UncheckedFields } from './payload.ts'
import { openRecord, type RecordForm, sealRecord } from './signed-record.ts'
import { checkLifetime, checkSequence, isNatural } from './statement.ts'

/** Numbers between two changes of what a tag means; those between are for statements that only renew the times. */
const RENEWALS_PER_CHANGE = 2 ** 20

/**
 * The sequence of the next statement about a tag. A change goes to the next multiple of 2^20, past all renewals of what
 * was before, so that no seed that did not hear of the change can outdo it by renewing.
 * @param known the highest sequence so far; 0 when there is none
 */
export function nextSequence(known: number, statement: 'change' | 'renewal'): number {
  return statement === 'renewal' ? known + 1 : (Math.floor(known / RENEWALS_PER_CHANGE) + 1) * RENEWALS_PER_CHANGE
}

/** What every statement about a tag tells. All times are in ms since 1970. */
interface TagStatement {
  readonly repository: Repository
  readonly tag: Tag
  /** 1 or more; grows with each statement about this tag, also when only the times change. */
  readonly sequence: number
  readonly issuedAt: number
  /** From this moment on the record means nothing. */
  readonly expiresAt: number
}

/** A tag means a manifest. */
export interface TagMapping extends TagStatement {
  readonly digest: Digest
  readonly mediaType: string
  /** Length of the manifest, in bytes. */
  readonly size: number
}

/** A tag was deleted. */
export interface TagTombstone extends TagStatement {
  readonly deleted: true
}

/** What a seed says of a tag. */
export type TagRecord = TagMapping | TagTombstone

/** A record whose signature holds, and the peer id that signed it. */
export interface OpenedTagRecord {
  readonly record: TagRecord
  readonly signer: string
}

/** The longest envelope of a tag record, in bytes. */
export const MAX_TAG_RECORD_BYTES = 2048

const FORM: RecordForm<TagRecord> = {
  domain: 'layermesh-tag-record',
  payloadType: '/layermesh/tag-record/1',
  maxEnvelopeBytes: MAX_TAG_RECORD_BYTES,
  fields: payloadFields,
  read: readTagRecord,
  check: checkTagRecord
}
/** RFC 6838 §4.2, so that a media type can be sent as a header as it is. */
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i

/** Tells whether the record says that the tag was deleted. */
export function isTombstone(record: TagRecord): record is TagTombstone {
  return 'deleted' in record
}

/** Signs a record. @throws {TrustError} RECORD_MALFORMED when {@link openTagRecord} would refuse it */
export function sealTagRecord(record: TagRecord, privateKey: PrivateKey): Promise<Uint8Array> {
  return sealRecord(FORM, record, privateKey)
}

/**
 * Reads a record and checks its form and signature; neither its times nor whether the signer may sign for the
 * repository (see {@link openTrustedTagRecord}).
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export function openTagRecord(envelope: Uint8Array, maySign?: (signer: string) => boolean): Promise<OpenedTagRecord> {
  return openRecord(FORM, envelope, maySign)
}

/**
 * Reads a record that a peer passed on, and refuses it unless its signer may sign for its repository.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openTrustedTagRecord(
  envelope: Uint8Array,
  policy: {
    maySign(peerId: string, repository: Repository): boolean
    /** Whether the peer may sign for any repository; asked first, so that strangers can't make it work. */
    isSigner?(peerId: string): boolean
  }
): Promise<OpenedTagRecord> {
  const opened = await openTagRecord(envelope, (signer) => policy.isSigner?.(signer) ?? true)
  const { repository } = opened.record
  if (policy.maySign(opened.signer, repository)) return opened
  throw new TrustError('SIGNER_NOT_TRUSTED', `${opened.signer} is not trusted to sign tags of ${repository}`)
}

function payloadFields(record: TagRecord): PayloadFields {
  const { repository, tag, sequence, issuedAt, expiresAt } = record
  const statement = { repository, tag, sequence, issuedAt, expiresAt }
  if (isTombstone(record)) return { ...statement, deleted: true }
  const { digest, mediaType, size } = record
  return { ...statement, digest, mediaType, size }
}

/** Which of the two it is hangs on `deleted` alone; that nothing of the other is there shows in the canonical form. */
function readTagRecord(fields: UncheckedFields): TagRecord {
  const statement = {
    repository: textField(fields, 'repository') as Repository,
    tag: textField(fields, 'tag') as Tag,
    sequence: numberField(fields, 'sequence'),
    issuedAt: numberField(fields, 'issuedAt'),
    expiresAt: numberField(fields, 'expiresAt')
  }
  if (fields.has('deleted')) return { ...statement, deleted: true }
  return {
    ...statement,
    digest: textField(fields, 'digest') as Digest,
    mediaType: textField(fields, 'mediaType'),
    size: numberField(fields, 'size')
  }
}

function checkTagRecord(record: TagRecord): void {
  checkNames(record)
  checkSequence(record)
  checkLifetime(record)
  if (isTombstone(record)) return
  if (!isDigest(record.digest)) throw malformed('digest must be a sha256 or sha512 digest')
  if (!MEDIA_TYPE.test(record.mediaType)) throw malformed('mediaType must be a media type')
  if (!isNatural(record.size) || record.size > MAX_MANIFEST_BYTES) throw malformed('size must be that of a manifest')
}

/** The repository must be the one key of its repository, such as `docker.io/library/a` and never `index.docker.io/a`. */
function checkNames(record: TagRecord): void {
  try {
    parseTag(record.tag)
    if (parseRepository(record.repository) === record.repository) return
  } catch (error) {
    if (isOciError(error)) throw malformed(error.message, error)
    throw error
  }
  throw malformed('repository must be in its canonical form')
}
