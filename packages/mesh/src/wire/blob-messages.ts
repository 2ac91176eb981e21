import { type Digest, parseDigest, parseRepository, type Repository } from '@layermesh/oci'
import { MAX_GROWING_MAP_BYTES } from '@layermesh/trust'
import { peerIdFromString } from '@libp2p/peer-id'
import { LIMITS } from '../limits.ts'
import { encodeFields, Fields, malformed, readValue } from './fields.ts'
import { controlFrame, FRAME } from './frames.ts'

const MAX_PIECE_NUMBERS = 8_192
const HASH_LENGTH = 32
const MAX_HASHES_BYTES = 4_096 * HASH_LENGTH

/** A peer and where it listens. */
export interface PeerAddresses {
  readonly peerId: string
  readonly addresses: readonly string[]
}

/** "I want this blob": the answer is {@link Joined} or {@link Refused}. */
export interface Join {
  readonly joinId: number
  readonly digest: Digest
  /** Answer only when the digest is known to be in this repository. */
  readonly within?: Repository
}

/** What is told of a blob that comes into the mesh at this moment. */
export interface GrowthMessage {
  /** Signed growing map. */
  readonly envelope: Uint8Array
  /** 32 bytes for each of the last pieces that it speaks of: those that the receiver was not told of before. */
  readonly hashes: Uint8Array
}

export interface Joined {
  readonly joinId: number
  readonly size: number
  /** In place of a piece map, with the hashes of all pieces that it speaks of. */
  readonly growth?: GrowthMessage
  /** Packed bits of the pieces that are here; undefined when all are. */
  readonly held?: Uint8Array
  /** Signed piece map; left out for a blob of one piece, which its digest proves. */
  readonly pieceMap?: Uint8Array
  /** Pieces that the giver brings in from an origin or from afar at this moment. */
  readonly fetching?: readonly number[]
  readonly peers: readonly PeerAddresses[]
}

export interface Refused {
  readonly joinId: number
  readonly reason: 'unknown' | 'busy' | 'shutting-down'
  readonly peers: readonly PeerAddresses[]
}

export function encodeJoin({ joinId, digest, within }: Join): Uint8Array {
  return controlFrame(FRAME.join, encodeFields({ id: joinId, digest, within }))
}

export function decodeJoin(body: Uint8Array): Join {
  const fields = new Fields(body)
  const within = fields.optional('within', (f, name) => readValue(parseRepository, f.text(name)))
  return {
    joinId: joinId(fields),
    digest: readValue(parseDigest, fields.text('digest')),
    ...(within === undefined ? {} : { within })
  }
}

export function encodeJoined({ joinId, size, held, pieceMap, growth, fetching, peers }: Joined): Uint8Array {
  const common = { id: joinId, size, held, fetching, peers: peers.map(packPeer) }
  const fields = { ...common, map: pieceMap, growing: growth?.envelope, hashes: growth?.hashes }
  return controlFrame(FRAME.joined, encodeFields(fields))
}

export function decodeJoined(body: Uint8Array): Joined {
  const fields = new Fields(body)
  const held = fields.optional('held', (f, name) => f.bytes(name, LIMITS.controlFrameBytes))
  const pieceMap = fields.optional('map', (f, name) => f.bytes(name, LIMITS.controlFrameBytes))
  const fetching = fields.optional('fetching', pieceNumbers)
  const growth = readGrowth(fields)
  return {
    joinId: joinId(fields),
    ...(growth === undefined ? {} : { growth }),
    size: fields.integer('size'),
    peers: fields.list('peers', LIMITS.peersPerAnswer, unpackPeer),
    ...(held === undefined ? {} : { held }),
    ...(pieceMap === undefined ? {} : { pieceMap }),
    ...(fetching === undefined ? {} : { fetching })
  }
}

const REFUSALS = ['unknown', 'busy', 'shutting-down'] as const

export function encodeRefused({ joinId, reason, peers }: Refused): Uint8Array {
  return controlFrame(FRAME.refused, encodeFields({ id: joinId, reason, peers: peers.map(packPeer) }))
}

export function decodeRefused(body: Uint8Array): Refused {
  const fields = new Fields(body)
  const reason = REFUSALS.find((known) => known === fields.text('reason'))
  if (reason === undefined) throw malformed('reason of a refusal')
  return { joinId: joinId(fields), reason, peers: fields.list('peers', LIMITS.peersPerAnswer, unpackPeer) }
}

/** What has changed at the giver since it answered a join. */
export interface Have {
  readonly joinId: number
  /** Pieces that have come. */
  readonly pieces: readonly number[]
  /** Pieces that it brings in from an origin or from afar at this moment. */
  readonly fetching?: readonly number[]
  /** What vouches for the pieces, when they come into the mesh at this moment. */
  readonly growth?: GrowthMessage
}

export function encodeHave({ joinId, pieces, fetching, growth }: Have): Uint8Array {
  const fields = { id: joinId, pieces, fetching, growing: growth?.envelope, hashes: growth?.hashes }
  return controlFrame(FRAME.have, encodeFields(fields))
}

export function decodeHave(body: Uint8Array): Have {
  const fields = new Fields(body)
  const fetching = fields.optional('fetching', pieceNumbers)
  const growth = readGrowth(fields)
  return {
    joinId: joinId(fields),
    pieces: pieceNumbers(fields, 'pieces'),
    ...(growth === undefined ? {} : { growth }),
    ...(fetching === undefined ? {} : { fetching })
  }
}

function readGrowth(fields: Fields): GrowthMessage | undefined {
  const envelope = fields.optional('growing', (f, name) => f.bytes(name, MAX_GROWING_MAP_BYTES))
  if (envelope === undefined) return undefined
  const hashes = fields.bytes('hashes', MAX_HASHES_BYTES)
  if (hashes.byteLength % HASH_LENGTH !== 0) throw malformed('hashes of pieces')
  return { envelope, hashes }
}

function pieceNumbers(fields: Fields, name: string): number[] {
  return fields.list(name, MAX_PIECE_NUMBERS, (value) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed('piece number')
    return value
  })
}

export function encodeLeave(id: number): Uint8Array {
  return controlFrame(FRAME.leave, encodeFields({ id }))
}

export function decodeLeave(body: Uint8Array): number {
  return joinId(new Fields(body))
}

function joinId(fields: Fields): number {
  return fields.integer('id', 0xffffffff)
}

export function packPeer({ peerId, addresses }: PeerAddresses): [string, readonly string[]] {
  return [peerId, addresses]
}

/** @throws {MeshError} PEER_MISBEHAVED */
export function unpackPeer(value: unknown): PeerAddresses {
  if (!Array.isArray(value) || value.length !== 2) throw malformed('peer')
  const [peerId, addresses] = value as [unknown, unknown]
  if (typeof peerId !== 'string' || peerId.length > 128) throw malformed('peer id')
  readValue(peerIdFromString, peerId)
  if (!Array.isArray(addresses) || addresses.length > LIMITS.maxMultiaddrsPerPeer) throw malformed('addresses')
  for (const address of addresses) {
    if (typeof address !== 'string' || address.length > LIMITS.maxMultiaddrLength) throw malformed('address')
  }
  return { peerId, addresses: addresses as string[] }
}
