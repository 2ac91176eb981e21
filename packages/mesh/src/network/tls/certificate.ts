/**
 * The certificates of libp2p's TLS (https://github.com/libp2p/specs/blob/master/tls/tls.md): self-signed, with a key of
 * their own. An extension carries the node's public key and its signature over the certificate's key. So whoever
 * finishes a TLS handshake with such a certificate has the node's private key, and no authority is needed.
 */
import { generateKeyPair, randomBytes, sign, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey, PublicKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import * as asn1 from 'asn1js'
import { MeshError } from '../../errors.ts'

const EXTENSION_OID = '1.3.6.1.4.1.53594.1.1'
const ECDSA_WITH_SHA256_OID = '1.2.840.10045.4.3.2'
const COMMON_NAME_OID = '2.5.4.3'
const SIGNED_PREFIX = Buffer.from('libp2p-tls-handshake:')
const EXTENSIONS_TAG = 3
const CONTEXT_SPECIFIC = 3

const DAY_MS = 24 * 60 * 60_000
/** Nodes whose clocks differ by less can still meet. */
const VALID_SINCE_MS = DAY_MS
/** As long as go-libp2p has it; a certificate is made anew at each start of a node. */
const VALID_FOR_MS = 100 * 365 * DAY_MS

export interface Certificate {
  /** In PEM. */
  readonly cert: string
  readonly key: string
}

/** Makes a certificate that proves the identity behind `identity`. It can be used for any number of connections. */
export async function createCertificate(identity: PrivateKey): Promise<Certificate> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'prime256v1' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const signature = await identity.sign(Buffer.concat([SIGNED_PREFIX, spki]))
  const algorithm = new asn1.Sequence({ value: [new asn1.ObjectIdentifier({ value: ECDSA_WITH_SHA256_OID })] })
  const name = distinguishedName('layermesh')
  const now = Date.now()
  const toBeSigned = new asn1.Sequence({
    value: [
      explicit(0, new asn1.Integer({ value: 2 })),
      new asn1.Integer({ valueHex: serialNumber() }),
      algorithm,
      name,
      new asn1.Sequence({ value: [time(now - VALID_SINCE_MS), time(now + VALID_FOR_MS)] }),
      name,
      asn1.fromBER(spki).result,
      explicit(EXTENSIONS_TAG, new asn1.Sequence({ value: [identityExtension(identity.publicKey, signature)] }))
    ]
  })
  const selfSignature = sign('sha256', new Uint8Array(toBeSigned.toBER()), privateKey)
  const certificate = new asn1.Sequence({
    value: [toBeSigned, algorithm, new asn1.BitString({ valueHex: toArrayBuffer(selfSignature) })]
  })
  return {
    cert: new X509Certificate(new Uint8Array(certificate.toBER())).toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  }
}

/**
 * Whom a certificate belongs to. That its holder has the certificate's key is for the TLS handshake to show.
 *
 * @param expected who it must belong to, when that is known
 * @throws {MeshError} PEER_IDENTITY
 */
export async function verifyCertificate(
  certificate: X509Certificate | undefined,
  expected: PeerId | undefined
): Promise<PeerId> {
  if (certificate === undefined) throw refusal('the peer showed no certificate')
  const now = Date.now()
  if (now < certificate.validFromDate.getTime() || now > certificate.validToDate.getTime()) {
    throw refusal(`the peer's certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`)
  }
  if (!certificate.verify(certificate.publicKey)) throw refusal("the peer's certificate is not signed by itself")
  const { publicKey, peerId, signature } = readIdentity(certificate.raw)
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' })
  const signed = await publicKey.verify(Buffer.concat([SIGNED_PREFIX, spki]), signature)
  if (!signed) throw refusal("the peer's certificate is not signed by the identity that it names")
  if (expected && !peerId.equals(expected)) {
    throw new MeshError('PEER_IDENTITY', `the peer is ${peerId}, not ${expected}`, { peerId: peerId.toString() })
  }
  return peerId
}

function refusal(message: string, cause?: unknown): MeshError {
  return new MeshError('PEER_IDENTITY', message, { cause })
}

/** Extension ::= SEQUENCE { oid, OCTET STRING of SignedKey }; SignedKey ::= SEQUENCE { publicKey, signature } */
function identityExtension(publicKey: PublicKey, signature: Uint8Array): asn1.Sequence {
  const signedKey = new asn1.Sequence({
    value: [
      new asn1.OctetString({ valueHex: toArrayBuffer(publicKeyToProtobuf(publicKey)) }),
      new asn1.OctetString({ valueHex: toArrayBuffer(signature) })
    ]
  })
  return new asn1.Sequence({
    value: [new asn1.ObjectIdentifier({ value: EXTENSION_OID }), new asn1.OctetString({ valueHex: signedKey.toBER() })]
  })
}

function readIdentity(der: Uint8Array): { publicKey: PublicKey; peerId: PeerId; signature: Uint8Array } {
  try {
    const [toBeSigned] = children(asn1.fromBER(der).result)
    const tagged = children(toBeSigned).find(
      ({ idBlock }) => idBlock.tagClass === CONTEXT_SPECIFIC && idBlock.tagNumber === EXTENSIONS_TAG
    )
    const [extensions] = children(tagged)
    const extension = children(extensions)
      .map(children)
      .find(([oid]) => oid instanceof asn1.ObjectIdentifier && oid.getValue() === EXTENSION_OID)
    const [encodedKey, signature] = children(asn1.fromBER(octets(extension?.at(-1))).result)
    const publicKey = publicKeyFromProtobuf(octets(encodedKey))
    return { publicKey, peerId: peerIdFromPublicKey(publicKey), signature: octets(signature) }
  } catch (cause) {
    throw refusal("the peer's certificate has no readable libp2p extension", cause)
  }
}

function children(block: asn1.AsnType | undefined): asn1.AsnType[] {
  if (!(block instanceof asn1.Constructed)) throw new TypeError('a sequence is missing')
  return block.valueBlock.value
}

function octets(block: asn1.AsnType | undefined): Uint8Array {
  if (!(block instanceof asn1.OctetString)) throw new TypeError('an octet string is missing')
  return new Uint8Array(block.getValue())
}

function explicit(tagNumber: number, content: asn1.AsnType): asn1.Constructed {
  return new asn1.Constructed({ idBlock: { tagClass: CONTEXT_SPECIFIC, tagNumber }, value: [content] })
}

function distinguishedName(commonName: string): asn1.Sequence {
  const attribute = new asn1.Sequence({
    value: [new asn1.ObjectIdentifier({ value: COMMON_NAME_OID }), new asn1.Utf8String({ value: commonName })]
  })
  return new asn1.Sequence({ value: [new asn1.Set({ value: [attribute] })] })
}

/** Positive and of shortest form, as DER wants integers: the first byte is between 1 and 127. */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(16)
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0)
  return toArrayBuffer(bytes)
}

/** The form changes with the year, and there are no fractions of seconds (RFC 5280 §4.1.2.5). */
function time(ms: number): asn1.UTCTime {
  const valueDate = new Date(Math.floor(ms / 1000) * 1000)
  return valueDate.getUTCFullYear() < 2050 ? new asn1.UTCTime({ valueDate }) : new asn1.GeneralizedTime({ valueDate })
}

function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer
}
