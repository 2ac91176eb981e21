import type { TLSSocket } from 'node:tls'
import { LIMITS } from '../../limits.ts'
import { encodeFields, Fields, malformed } from '../../wire/fields.ts'
import { readExactly } from './handshake.ts'
import { PROOF_BYTES } from './proof.ts'

/** What one side of a connection shows of itself (PROTOCOL.md §Membership). */
export interface Credentials {
  /** A proof for each cluster secret that it knows. */
  readonly proofs: readonly Uint8Array[]
  readonly ticket?: Uint8Array
}

const LENGTH_BYTES = 2

/** Two bytes of length, and a CBOR map. */
export function encodeCredentials({ proofs, ticket }: Credentials): Uint8Array {
  const body = encodeFields({ proofs, ticket })
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt16BE(body.byteLength)
  return Buffer.concat([length, body])
}

/** Reads them and not a byte more. @throws {MeshError} PEER_MISBEHAVED; when the connection ends before */
export async function readCredentials(socket: TLSSocket, signal: AbortSignal): Promise<Credentials> {
  const length = Buffer.from(await readExactly(socket, LENGTH_BYTES, signal)).readUInt16BE()
  if (length === 0 || length > LIMITS.credentialsBytes) throw malformed(`credentials of ${length} bytes`)
  const fields = new Fields(await readExactly(socket, length, signal))
  const proofs = fields.list('proofs', LIMITS.secrets, (value) => {
    if (!(value instanceof Uint8Array) || value.byteLength !== PROOF_BYTES) throw malformed('proof')
    return value
  })
  const ticket = fields.optional('ticket', (f, name) => f.bytes(name, LIMITS.credentialsBytes))
  return { proofs, ...(ticket === undefined ? {} : { ticket }) }
}
