import { OciError, parseDigest } from '@layermesh/oci'
import type { MeshMember, PrefetchReport, PrefetchRequest } from '../interfaces.ts'
import { LIMITS } from '../limits.ts'
import { type PeerAddresses, packPeer, unpackPeer } from '../wire/blob-messages.ts'
import { readAnswer } from '../wire/failures.ts'
import { encodeFields, Fields, malformed, readValue } from '../wire/fields.ts'

const MAX_REFERENCE_LENGTH = 1_024
const MAX_PLATFORM_LENGTH = 64
const MAX_ZONE_LENGTH = 64
const STATES = ['waiting', 'fetching', 'done'] as const
const ROLES = ['seed', 'node'] as const

/** One request of the prefetch protocol (PROTOCOL.md §Prefetch). */
export type PrefetchMessage = { readonly op: 'members' } | { readonly op: 'fetch'; readonly request: PrefetchRequest }

/** A member, and where it listens. */
export interface KnownMember extends MeshMember, PeerAddresses {}

export function encodePrefetchMessage(message: PrefetchMessage): Uint8Array {
  return encodeFields(message.op === 'fetch' ? { op: message.op, ...message.request } : { op: message.op })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} UNSUPPORTED for an operation that is not known */
export function decodePrefetchMessage(bytes: Uint8Array): PrefetchMessage {
  const fields = new Fields(bytes)
  const op = fields.text('op', 32)
  switch (op) {
    case 'members':
      return { op }
    case 'fetch': {
      const platform = fields.optional('platform', (f, name) => f.text(name, MAX_PLATFORM_LENGTH))
      const request = {
        reference: fields.text('reference', MAX_REFERENCE_LENGTH),
        deadlineMs: fields.integer('deadlineMs', LIMITS.prefetchDeadlineMs)
      }
      return { op, request: { ...request, ...(platform === undefined ? {} : { platform }) } }
    }
    default:
      throw new OciError('UNSUPPORTED', 'this node knows no such operation')
  }
}

/** The answer to `members`. */
export function encodeMembers(members: readonly KnownMember[]): Uint8Array {
  const packed = members.slice(0, LIMITS.membersPerAnswer).map(({ peerId, addresses, zone, role }) => {
    return [...packPeer({ peerId, addresses: addresses.slice(0, LIMITS.addressesPerMember) }), zone, role]
  })
  return encodeFields({ members: packed })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} what the peer answered instead */
export function decodeMembers(bytes: Uint8Array): KnownMember[] {
  return readAnswer(bytes).list('members', LIMITS.membersPerAnswer, (value) => {
    if (!Array.isArray(value) || value.length !== 4) throw malformed('member')
    const [peerId, addresses, zone, role]: unknown[] = value
    const known = ROLES.find((one) => one === role)
    if (known === undefined || typeof zone !== 'string' || zone.length > MAX_ZONE_LENGTH) throw malformed('member')
    return { ...unpackPeer([peerId, addresses]), zone, role: known }
  })
}

/** One of the answers to `fetch`. */
export function encodeReport({ state, size, heldBytes, receivedBytes, digest }: PrefetchReport): Uint8Array {
  return encodeFields({ state, size, held: heldBytes, received: receivedBytes, digest })
}

/** @throws {MeshError} PEER_MISBEHAVED; {OciError} what kept the peer from fetching the image */
export function decodeReport(bytes: Uint8Array): PrefetchReport {
  const fields = readAnswer(bytes)
  const told = fields.text('state', 16)
  const state = STATES.find((one) => one === told)
  if (state === undefined) throw malformed('state of a prefetch')
  const digest = fields.optional('digest', (f, name) => readValue(parseDigest, f.text(name)))
  return {
    state,
    size: fields.integer('size'),
    heldBytes: fields.integer('held'),
    receivedBytes: fields.integer('received'),
    ...(digest === undefined ? {} : { digest })
  }
}
