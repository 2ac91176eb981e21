import { Bitfield, type Digest, digestOf } from '@layermesh/oci'
import type { PeerScope, SwarmAction, SwarmEvent } from '../events.ts'

export const MIB = 1024 * 1024
export const digest = digestOf(Buffer.from('a blob'))
export const other = digestOf(Buffer.from('another blob'))

export function pieces(count: number, ...held: number[]): Bitfield {
  const field = new Bitfield(count)
  for (const piece of held) field.set(piece)
  return field
}

export function want(
  count: number,
  held = new Bitfield(count),
  wanted = digest
): Extract<SwarmEvent, { type: 'want' }> {
  return { type: 'want', digest: wanted, size: count * MIB, pieceLength: MIB, held }
}

export function joined(
  peer: string,
  offered: Bitfield,
  scope: PeerScope = 'zone',
  wanted: Digest = digest
): SwarmEvent {
  return { type: 'peer-joined', digest: wanted, peer, scope, pieces: offered }
}

export function arrived(peer: string, piece: number, wanted = digest): SwarmEvent {
  return { type: 'piece-arrived', digest: wanted, peer, piece }
}

export function has(peer: string, ...numbers: number[]): SwarmEvent {
  return { type: 'peer-has', digest, peer, pieces: numbers }
}

export function requests(actions: readonly SwarmAction[]): { peer: string; piece: number }[] {
  return of(actions, 'request').map(({ peer, piece }) => ({ peer, piece }))
}

export function of<T extends SwarmAction['type']>(actions: readonly SwarmAction[], type: T) {
  return actions.filter((action): action is Extract<SwarmAction, { type: T }> => action.type === type)
}
