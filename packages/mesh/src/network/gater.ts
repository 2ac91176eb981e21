import type { ConnectionGater, PeerId } from '@libp2p/interface'
import type { MeshObserver } from '../interfaces.ts'
import type { HandshakeGate } from './handshake-gate.ts'

export interface GaterComponents {
  /** Whether a peer is kept out, for a while or for good. */
  isShutOut(peerId: string): boolean
  readonly handshakes: HandshakeGate
  readonly onRefused: MeshObserver['refused']
}

/** Refuses peers that are kept out, in both directions, and handshakes that are too many. */
export function createGater({ isShutOut, handshakes, onRefused }: GaterComponents): ConnectionGater {
  const shutOut = (peerId: PeerId) => isShutOut(peerId.toString())
  return {
    // libp2p refuses some private addresses by default in browsers; a cluster has few others.
    denyDialMultiaddr: () => false,
    denyDialPeer: shutOut,
    denyInboundConnection: (connection) => {
      if (handshakes.mayBegin(connection)) return false
      onRefused({ reason: 'busy', detail: `too many handshakes, one from ${connection.remoteAddr}` })
      return true
    },
    denyInboundEncryptedConnection: (peerId, connection) => {
      handshakes.finished(connection)
      return shutOut(peerId)
    },
    denyOutboundEncryptedConnection: shutOut
  }
}
