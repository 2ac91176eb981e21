import { type Digest, OciError, parseDigest } from '@layermesh/oci'
import type { LeaseEnd } from '@layermesh/swarm'
import { LIMITS } from '../limits.ts'
import { type PeerAddresses, packPeer, unpackPeer } from '../wire/blob-messages.ts'
import { encodeFields, Fields, malformed, readValue } from '../wire/fields.ts'

/** What a node tells the arbiter (PROTOCOL.md §Lease). */
export type LeaseRequest =
  | {
      readonly op: 'acquire'
      readonly digest: Digest
      readonly holding?: boolean
      readonly stalled?: boolean
      /** Peer id. */
      readonly holder?: string
    }
  | { readonly op: 'follow'; readonly digest: Digest }
  | { readonly op: 'renew'; readonly digests: readonly Digest[] }
  | { readonly op: 'release'; readonly digest: Digest; readonly reason: LeaseEnd }

/** What the arbiter tells a node that asked. */
export type LeaseAnswer =
  | { readonly op: 'granted'; readonly digest: Digest }
  | { readonly op: 'held'; readonly digest: Digest; readonly holder: PeerAddresses }
  | { readonly op: 'refused'; readonly digest: Digest; readonly reason: 'failed' | 'busy' }

const MAX_PEER_ID_LENGTH = 128
const ENDS = ['done', 'failed', 'left'] as const
const REFUSALS = ['failed', 'busy'] as const

export function encodeLeaseRequest(request: LeaseRequest): Uint8Array {
  return encodeFields({ ...request })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} UNSUPPORTED for an operation that is not known */
export function decodeLeaseRequest(bytes: Uint8Array): LeaseRequest {
  const fields = new Fields(bytes)
  const op = fields.text('op', 32)
  switch (op) {
    case 'acquire': {
      const holding = fields.optional('holding', (f, name) => f.flag(name)) ?? false
      const stalled = fields.optional('stalled', (f, name) => f.flag(name)) ?? false
      const holder = fields.optional('holder', (f, name) => f.text(name, MAX_PEER_ID_LENGTH))
      return { op, digest: digestOf(fields), holding, stalled, ...(holder !== undefined && { holder }) }
    }
    case 'follow':
      return { op, digest: digestOf(fields) }
    case 'renew': {
      const digests = fields.texts('digests', LIMITS.leasesPerRenewal)
      return { op, digests: digests.map((text) => readValue(parseDigest, text)) }
    }
    case 'release':
      return { op, digest: digestOf(fields), reason: oneOf(ENDS, fields.text('reason', 32)) }
    default:
      throw new OciError('UNSUPPORTED', 'this node knows no such operation')
  }
}

export function encodeLeaseAnswer(answer: LeaseAnswer): Uint8Array {
  return encodeFields({ ...answer, ...(answer.op === 'held' && { holder: packPeer(answer.holder) }) })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} UNSUPPORTED for an answer that is not known */
export function decodeLeaseAnswer(bytes: Uint8Array): LeaseAnswer {
  const fields = new Fields(bytes)
  const op = fields.text('op', 32)
  switch (op) {
    case 'granted':
      return { op, digest: digestOf(fields) }
    case 'held':
      return { op, digest: digestOf(fields), holder: fields.value('holder', unpackPeer) }
    case 'refused':
      return { op, digest: digestOf(fields), reason: oneOf(REFUSALS, fields.text('reason', 32)) }
    default:
      throw new OciError('UNSUPPORTED', 'this node knows no such answer')
  }
}

function digestOf(fields: Fields): Digest {
  return readValue(parseDigest, fields.text('digest'))
}

function oneOf<T extends string>(known: readonly T[], text: string): T {
  const found = known.find((each) => each === text)
  if (found === undefined) throw malformed('reason')
  return found
}
