import { type Identify, type IdentifyPush, identify, identifyPush } from '@libp2p/identify'
import type { ComponentLogger, ConnectionGater, Libp2p, PrivateKey } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { LIMITS, PROTOCOL } from '../limits.ts'
import type { Loans } from '../loans.ts'
import type { TagRecordRules } from '../tags/record-rules.ts'
import type { Admissions } from './admissions.ts'
import { HostDatastore } from './host-datastore.ts'
import { memberNoise } from './noise.ts'
import { tls } from './tls/encrypter.ts'

const MIB = 1024 * 1024
const MINUTE = 60_000
const HOUR = 60 * MINUTE

export type MeshHost = Libp2p<{ identify: Identify; identifyPush: IdentifyPush; ping: Ping; dht: KadDHT }>

export interface HostInit {
  readonly privateKey: PrivateKey
  /** Where libp2p keeps what it knows of peers and DHT records. */
  readonly directory: string
  readonly listen: readonly string[]
  /** Addresses told to others instead of those that are listened on, when not empty. */
  readonly announce: readonly string[]
  readonly maxPeers: number
  readonly admissions: Admissions
  readonly gater: ConnectionGater
  readonly tagRules: TagRecordRules
  /** Memory that the transport gives back once it is written. */
  readonly loans?: Loans
  readonly logger?: ComponentLogger
}

/**
 * A libp2p node, not started yet. Its defaults are made for the public internet; the values here are for a cluster,
 * where hundreds of nodes start at one moment behind few addresses, and all addresses are private.
 */
export async function createHost(init: HostInit): Promise<{ host: MeshHost; datastore: HostDatastore }> {
  const datastore = new HostDatastore(init.directory)
  await datastore.open()
  const host = await createLibp2p({
    start: false,
    privateKey: init.privateKey,
    datastore,
    ...(init.logger === undefined ? {} : { logger: init.logger }),
    addresses: { listen: [...init.listen], announce: [...init.announce] },
    transports: [tcp({ backlog: 1024 })],
    connectionEncrypters: encryptersOf(init),
    streamMuxers: [
      yamux({
        maxInboundStreams: LIMITS.inboundStreamsPerConnection,
        maxOutboundStreams: LIMITS.inboundStreamsPerConnection,
        // The read buffer must be larger than the window, or a full window would end the stream.
        streamOptions: { maxStreamWindowSize: 4 * MIB, maxReadBufferLength: 8 * MIB, maxWriteBufferLength: 8 * MIB }
      })
    ],
    connectionGater: init.gater,
    connectionManager: {
      maxConnections: init.maxPeers,
      inboundConnectionThreshold: LIMITS.handshakesPerAddressPerSecond,
      maxIncomingPendingConnections: LIMITS.pendingHandshakes,
      // Handshakes are slow while hundreds of nodes start at once; who looks for a blob has a deadline of its own.
      dialTimeout: 10_000,
      addressDialTimeout: 8_000
    },
    // A peer that is busy sending may answer a ping late; its transfers must not be cut for that.
    connectionMonitor: { pingInterval: 15_000, pingTimeout: { minTimeout: 15_000 } },
    peerStore: { maxAddressAge: 24 * HOUR, maxPeerAge: 48 * HOUR },
    services: {
      identify: identify({ protocolPrefix: 'layermesh' }),
      identifyPush: identifyPush({ protocolPrefix: 'layermesh' }),
      ping: ping({ protocolPrefix: 'layermesh' }),
      dht: kadDHT({
        protocol: PROTOCOL.dht,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        alpha: 3,
        // So many keep each record, and so many are asked at the end of a walk: enough where nodes stay for days.
        kBucketSize: 8,
        initialQuerySelfInterval: 250,
        // Neighbours come by our own means; a walk through the DHT by each node every few seconds would keep all busy.
        querySelfInterval: 5 * MINUTE,
        networkDialTimeout: { minTimeout: 500, maxTimeout: 3_000 },
        reprovide: { validity: 30 * MINUTE, threshold: 20 * MINUTE, interval: 5 * MINUTE, concurrency: 4 },
        validators: { [init.tagRules.namespace]: init.tagRules.validate },
        selectors: { [init.tagRules.namespace]: init.tagRules.select },
        maxInboundStreams: LIMITS.inboundStreamsPerPeer,
        maxOutboundStreams: LIMITS.inboundStreamsPerPeer
      })
    }
  })
  return { host, datastore }
}

/** In the order of preference of the one who dials. Where only a ticket lets in, noise is left out: it shows none. */
function encryptersOf({ admissions, loans }: HostInit) {
  const overTls = tls({ admissions, ...(loans && { loans }) })
  return admissions.open || admissions.firstSecret() ? [overTls, memberNoise(admissions)] : [overTls]
}
