import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PrivateKey, Record as SignedRecord } from '@libp2p/interface'
import { RecordEnvelope } from '@libp2p/peer-record'
import { TrustError } from './errors.ts'
import { peerIdOf } from './keys.ts'

/**
 * libp2p signed envelopes (specification "Signed Envelope", RFC 0002) as every record of this package travels in one,
 * narrowed so that one statement has one encoding: the signer's key is Ed25519, and the protobuf holds the four fields
 * once each, in order, and nothing else.
 */

/** What sets one kind of record apart from all others that the same key signs. */
export interface RecordKind {
  /** Domain separation string of the signature. */
  readonly domain: string
  /** Names the encoding of the payload and its version. */
  readonly payloadType: string
  /** The longest envelope that is looked at, in bytes. */
  readonly maxEnvelopeBytes: number
}

/** Field 1 of the envelope, a libp2p public key of type Ed25519 and 32 bytes; it comes before anything else. */
const ED25519_KEY_PREFIX = Uint8Array.of(0x0a, 0x24, 0x08, 0x01, 0x12, 0x20)
const ED25519_KEY_BYTES = 32

/** Signs a payload. @throws {TrustError} RECORD_TOO_LARGE; RECORD_MALFORMED when the key is not Ed25519 */
export async function sealEnvelope(kind: RecordKind, payload: Uint8Array, privateKey: PrivateKey): Promise<Uint8Array> {
  const envelope = await RecordEnvelope.seal(new PayloadRecord(kind, payload), privateKey)
  const bytes = envelope.marshal()
  if (bytes.byteLength > kind.maxEnvelopeBytes) throw new TrustError('RECORD_TOO_LARGE', tooLong(kind))
  checkFrame(kind, bytes)
  return bytes
}

/**
 * Checks length, form and signature, in this order, and gives the payload and the peer id that signed it. Whether that
 * peer may say so is another question, unless `maySign` answers it: then it is asked before anything costs time.
 * @throws {TrustError} RECORD_MALFORMED, SIGNATURE_INVALID, SIGNER_NOT_TRUSTED
 */
export async function openEnvelope(
  kind: RecordKind,
  bytes: Uint8Array,
  maySign: (signer: string) => boolean = () => true
): Promise<{ payload: Uint8Array; signer: string }> {
  checkFrame(kind, bytes)
  const envelope = decodeEnvelope(bytes)
  if (Buffer.compare(envelope.marshal(), bytes) !== 0) {
    throw new TrustError('RECORD_MALFORMED', 'a signed envelope is not in its one canonical form')
  }
  if (Buffer.compare(envelope.payloadType, Buffer.from(kind.payloadType)) !== 0) {
    throw new TrustError('RECORD_MALFORMED', `a signed envelope does not hold a ${kind.payloadType}`)
  }
  const signer = peerIdOf(envelope)
  if (!maySign(signer)) {
    throw new TrustError('SIGNER_NOT_TRUSTED', `${signer} is not trusted to sign a ${kind.payloadType}`)
  }
  if (!(await hasValidSignature(envelope, kind.domain))) {
    throw new TrustError('SIGNATURE_INVALID', `the signature of a ${kind.payloadType} does not hold`)
  }
  return { payload: envelope.payload, signer }
}

/** Who signed an envelope, by its own word: for one that was checked when it came. Undefined when it tells no such key. */
export function signerOf(envelope: Uint8Array): string | undefined {
  const end = ED25519_KEY_PREFIX.length + ED25519_KEY_BYTES
  if (
    envelope.byteLength < end ||
    Buffer.compare(envelope.subarray(0, ED25519_KEY_PREFIX.length), ED25519_KEY_PREFIX) !== 0
  )
    return undefined
  return peerIdOf({ publicKey: publicKeyFromRaw(envelope.subarray(ED25519_KEY_PREFIX.length, end)) })
}

function tooLong({ payloadType, maxEnvelopeBytes }: RecordKind): string {
  return `a ${payloadType} has at most ${maxEnvelopeBytes} bytes`
}

/** Bounds the work before any decoder sees the bytes; the key's type too, since other types cost more to read. */
function checkFrame(kind: RecordKind, bytes: Uint8Array): void {
  if (bytes.byteLength > kind.maxEnvelopeBytes) {
    throw new TrustError('RECORD_MALFORMED', tooLong(kind))
  }
  if (Buffer.compare(bytes.subarray(0, ED25519_KEY_PREFIX.length), ED25519_KEY_PREFIX) !== 0) {
    throw new TrustError('RECORD_MALFORMED', `a ${kind.payloadType} is signed with an Ed25519 key`)
  }
}

function decodeEnvelope(bytes: Uint8Array): RecordEnvelope {
  try {
    return RecordEnvelope.createFromProtobuf(bytes)
  } catch (cause) {
    throw new TrustError('RECORD_MALFORMED', 'the bytes are no signed envelope', { cause })
  }
}

/** A signature of the wrong length makes the library throw; here it is just not valid. */
async function hasValidSignature(envelope: RecordEnvelope, domain: string): Promise<boolean> {
  try {
    return await envelope.validate(domain)
  } catch {
    return false
  }
}

class PayloadRecord implements SignedRecord {
  readonly domain: string
  readonly codec: Uint8Array
  readonly #payload: Uint8Array

  constructor(kind: RecordKind, payload: Uint8Array) {
    this.domain = kind.domain
    this.codec = Buffer.from(kind.payloadType)
    this.#payload = payload
  }

  marshal(): Uint8Array {
    return this.#payload
  }

  equals(other: SignedRecord): boolean {
    return this.domain === other.domain && Buffer.compare(this.#payload, other.marshal()) === 0
  }
}
