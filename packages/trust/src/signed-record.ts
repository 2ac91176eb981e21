import type { PrivateKey } from '@libp2p/interface'
import { openEnvelope, type RecordKind, sealEnvelope } from './envelope.ts'
import {
  checkCanonical,
  decodePayload,
  encodePayload,
  malformed,
  type PayloadFields,
  type UncheckedFields
} from './payload.ts'

/** One kind of record: how it is written, read and checked. */
export interface RecordForm<Content> extends RecordKind {
  /** All that stands in the payload. */
  fields(record: Content): PayloadFields
  /** @throws {TrustError} RECORD_MALFORMED when a field is missing or of another type */
  read(fields: UncheckedFields): Content
  /** @throws {TrustError} RECORD_MALFORMED for a value that may not be */
  check(record: Content): void
}

const BASE64URL = /^[A-Za-z0-9_-]+$/

/** Signs a record. @throws {TrustError} RECORD_MALFORMED, RECORD_TOO_LARGE when {@link openRecord} would refuse it */
export async function sealRecord<Content>(
  form: RecordForm<Content>,
  record: Content,
  privateKey: PrivateKey
): Promise<Uint8Array> {
  form.check(record)
  return await sealEnvelope(form, encodePayload(form.fields(record)), privateKey)
}

/**
 * Reads a record and checks its form and signature, and that it says nothing but what was read.
 * @param maySign asked before anything costs time
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openRecord<Content>(
  form: RecordForm<Content>,
  envelope: Uint8Array,
  maySign?: (signer: string) => boolean
): Promise<{ record: Content; signer: string }> {
  const { payload, signer } = await openEnvelope(form, envelope, maySign)
  const record = form.read(decodePayload(payload))
  form.check(record)
  checkCanonical(payload, form.fields(record))
  return { record, signer }
}

/** A record as it stands in a file: one line of base64url. */
export function formatRecord(envelope: Uint8Array): string {
  return Buffer.from(envelope).toString('base64url')
}

/**
 * The envelope that {@link formatRecord} wrote.
 * @param what names the kind in the message
 * @throws {TrustError} RECORD_MALFORMED
 */
export function parseRecord({ maxEnvelopeBytes }: RecordKind, text: string, what: string): Uint8Array {
  const line = text.trim()
  if (line.length <= 2 * maxEnvelopeBytes && BASE64URL.test(line)) return new Uint8Array(Buffer.from(line, 'base64url'))
  throw malformed(`the text is no ${what}, which is one line of base64url`)
}
