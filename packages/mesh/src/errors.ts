export type MeshErrorCode =
  /** No connection to the peer, or it went away. */
  | 'PEER_UNREACHABLE'
  /** The peer broke the protocol. */
  | 'PEER_MISBEHAVED'
  /** The peer did not prove who it is, or is not the one that was dialled. */
  | 'PEER_IDENTITY'
  /** The peer did not prove that it knows the cluster secret. */
  | 'NOT_A_MEMBER'
  /** The peer speaks no such protocol: its program is another version. */
  | 'UNSUPPORTED'
  /** The peer was not done in time. */
  | 'DEADLINE'
  /** Sources ran dry in the middle of a blob. */
  | 'SOURCES_EXHAUSTED'
  /** The origin outside the mesh does not have the blob, or did not give it. */
  | 'ORIGIN_FAILED'
  /** The secret can't be used. */
  | 'SECRET_INVALID'
  /** An address can't be used. */
  | 'ADDRESS_INVALID'

/** A failure of the mesh; `peerId` names the peer that it concerns. */
export class MeshError extends Error {
  override readonly name = 'MeshError'
  readonly code: MeshErrorCode
  readonly peerId: string | undefined

  constructor(code: MeshErrorCode, message: string, options: { peerId?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.peerId = options.peerId
  }
}
