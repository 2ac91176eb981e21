import PQueue from 'p-queue'
import type { MeshMember } from '../interfaces.ts'
import type { KnownMember } from './messages.ts'

export interface MemberWalkComponents {
  /** The peers that this node is connected to. */
  connected(): readonly MeshMember[]
  /** Whom a peer is connected to. */
  ask(peerId: string, signal: AbortSignal): Promise<readonly KnownMember[]>
  /** Remembers where a member listens. */
  learn(member: KnownMember): Promise<void>
}

export interface MemberWalkOptions {
  /** This node, which is none of them. */
  readonly self: string
  readonly concurrency: number
  readonly maxMembers: number
}

/**
 * Looks for all members of the mesh: those that are connected, those whom these are connected to, and so on. What a
 * member that is connected tells of itself counts before what others tell of it. Members that do not answer are found
 * all the same; those that nobody names are not. When `signal` aborts, or with `maxMembers`, it ends with what it has.
 */
export async function walkMembers(
  { connected, ask, learn }: MemberWalkComponents,
  { self, concurrency, maxMembers }: MemberWalkOptions,
  signal: AbortSignal
): Promise<MeshMember[]> {
  const found = new Map<string, MeshMember>()
  const asking = new PQueue({ concurrency })
  const take = ({ peerId, zone, role }: MeshMember): boolean => {
    if (peerId === self || found.has(peerId) || found.size >= maxMembers) return false
    found.set(peerId, { peerId, zone, role })
    asking.add(() => askOne(peerId)).catch(() => {})
    return true
  }
  const askOne = async (peerId: string): Promise<void> => {
    if (signal.aborted) return
    const named = await ask(peerId, signal).catch(() => [])
    for (const member of named) if (take(member)) await learn(member)
  }
  for (const member of connected()) take(member)
  await asking.onIdle()
  for (const { peerId, zone, role } of connected()) {
    if (zone !== 'unknown' && (found.has(peerId) || found.size < maxMembers)) found.set(peerId, { peerId, zone, role })
  }
  return [...found.values()]
}
