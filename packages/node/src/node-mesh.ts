import { join } from 'node:path'
import type { ContentStore } from '@layermesh/content'
import { Mesh, type MeshObserver } from '@layermesh/mesh'
import { openTrustedTagRecord, type TrustPolicy } from '@layermesh/trust'
import type { NodeConfig } from './config/node-config.ts'
import type { Logger } from './log.ts'
import { ConnectionRefusals } from './membership/connection-refusals.ts'
import { meshLogger } from './mesh-logger.ts'
import type { NodeMetrics } from './metrics.ts'
import type { NodeEvents } from './node-events.ts'
import type { NodeIdentity, NodeTrust } from './node-trust.ts'
import { type Refusals, reasonOf } from './tags/refusals.ts'
import { VERSION } from './version.ts'

export interface NodeMeshComponents {
  readonly identity: NodeIdentity
  readonly trusted: Pick<NodeTrust, 'membership' | 'board'>
  readonly content: ContentStore
  readonly metrics: NodeMetrics
  readonly events: NodeEvents
  readonly refusals: Refusals
  readonly log: Logger
  /** Told when somebody connects who may sign. */
  onSignerConnected(): void
}

/** This node's part in the mesh, not started yet. @throws {MeshError} ADDRESS_INVALID */
export function createNodeMesh(components: NodeMeshComponents, config: NodeConfig): Promise<Mesh> {
  const { identity, trusted, content, refusals, log } = components
  const { privateKey, peerId, trust } = identity
  const { membership, board } = trusted
  return Mesh.create(
    {
      content,
      privateKey,
      membership,
      board,
      log,
      observer: observer(components),
      openTrustedRecord: (envelope) => openFromDht(envelope, trust, refusals),
      mayVouch: (signer) => signer === peerId || trust.isSigner(signer),
      seeds: () => trust.signers().filter((signer) => signer !== peerId),
      logger: meshLogger(log)
    },
    {
      directory: join(config.dataDir, 'libp2p'),
      listen: config.mesh.listen,
      announce: config.mesh.announce,
      join: config.mesh.join,
      maxPeers: config.mesh.maxPeers,
      self: { version: VERSION, role: config.role, zone: config.zone },
      findWithinMs: config.pull.deadlineMs,
      limits: config.limits
    }
  )
}

/** Opens a tag record that the DHT has, or is to keep. @throws {TrustError} */
async function openFromDht(envelope: Uint8Array, trust: TrustPolicy, refusals: Refusals) {
  try {
    return (await openTrustedTagRecord(envelope, trust)).record
  } catch (error) {
    refusals.refused({ reason: reasonOf(error), from: 'dht' })
    throw error
  }
}

function observer({ metrics, events, log, identity, onSignerConnected }: NodeMeshComponents): MeshObserver {
  const refusals = new ConnectionRefusals({
    count: (reason) => metrics.connectionRefused(reason),
    log,
    now: () => performance.now()
  })
  return {
    received: ({ source, scope, bytes }) => metrics.received(source, scope, bytes),
    sent: ({ scope, bytes }) => metrics.sent('peer', scope, bytes),
    pieceFailed: ({ peerId, digest, piece, reason }) => {
      metrics.pieceFailure(reason)
      log.warn({ peerId, digest, piece, reason }, 'a peer did not deliver a piece as it should')
    },
    banned: (ban) => {
      metrics.peerBanned(ban.reason)
      events.peerBanned(ban)
    },
    refused: (refusal) => refusals.refused(refusal),
    providerFound: ({ elapsedMs }) => metrics.providerFound(elapsedMs / 1000),
    peerConnected: (peerId) => {
      log.debug({ peerId }, 'a peer connected')
      if (identity.trust.isSigner(peerId)) onSignerConnected()
    },
    peerDisconnected: (peerId) => log.debug({ peerId }, 'a peer disconnected')
  }
}
