import { parseRepository } from '@layermesh/oci'
import { peerIdOf, signingKeyOf } from '@layermesh/trust'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { AccessLog, Clock } from '../access-types.ts'
import type { TokenSigners } from '../tokens/token-authority.ts'

/** A clock that stands still until it is told to go on. */
export class FakeClock {
  nowMs = Date.parse('2026-11-26T04:00:00Z')

  readonly now: Clock = () => this.nowMs

  advance(ms: number): void {
    this.nowMs += ms
  }
}

/** A log that keeps its lines. */
export class FakeLog implements AccessLog {
  readonly lines: string[] = []
  readonly debug = (_: unknown, message: string) => void this.lines.push(message)
  readonly info = this.debug
  readonly warn = this.debug
}

/** A node as far as tokens know it; the same number makes the same node. */
export async function fakeNode(number: number) {
  const key = await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(number))
  return { peerId: peerIdOf(key), signingKey: signingKeyOf(key) }
}

/** Signers who may sign for repositories that begin with a prefix. */
export function fakeSigners(prefixes: Readonly<Record<string, string>> = {}): TokenSigners {
  return {
    isSigner: (peerId) => Object.hasOwn(prefixes, peerId),
    maySign: (peerId, repository) => repository.startsWith(prefixes[peerId] ?? ' ')
  }
}

export const repository = parseRepository

export function never(): never {
  throw new Error('this must not be called')
}
