/**
 * TLS 1.3 as libp2p speaks it (https://github.com/libp2p/specs/blob/master/tls/tls.md), put straight on the TCP socket.
 * In a mesh with a secret a proof of membership follows on the handshake (see proof.ts). Since that is more than
 * libp2p's TLS, it goes by a name of its own.
 */
import type { TLSSocket } from 'node:tls'
import type {
  ConnectionEncrypter,
  MessageStream,
  PeerId,
  PrivateKey,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader
} from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { MeshError } from '../../errors.ts'
import { LIMITS } from '../../limits.ts'
import type { Loans } from '../../loans.ts'
import { type Certificate, createCertificate, verifyCertificate } from './certificate.ts'
import { TlsConnection } from './connection.ts'
import { type Role, readExactly, shakeHands } from './handshake.ts'
import { checkProof, keyingMaterial, makeProof, PROOF_BYTES } from './proof.ts'
import { takeSocket } from './socket.ts'

const TLS_PROTOCOL = Object.freeze({
  /** As all of libp2p has it. */
  open: '/tls/1.0.0',
  /** The same, with a proof of membership. */
  members: '/layermesh/tls/1.0.0'
})

/** Agreed upon by peers without a muxer in common (libp2p specs, connections/inlined-muxer-negotiation.md). */
const NO_MUXER = 'libp2p'

export interface TlsComponents {
  readonly privateKey: PrivateKey
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

export interface TlsOptions {
  /** Keys for the proof of membership: the first makes ours, each is good for a peer's. None: an open mesh. */
  readonly proofKeys: readonly Uint8Array[]
  /** Memory that is given back once it is written. */
  readonly loans?: Loans
  /** How long handshake and proofs may take. @default LIMITS.handshakeDeadlineMs */
  readonly deadlineMs?: number
}

/** For libp2p's `connectionEncrypters`. */
export function tls(options: TlsOptions): (components: TlsComponents) => ConnectionEncrypter {
  return (components) => new TlsEncrypter(components, options)
}

class TlsEncrypter implements ConnectionEncrypter {
  readonly protocol: string
  readonly #components: TlsComponents
  readonly #self: PeerId
  readonly #proofKeys: readonly Uint8Array[]
  readonly #loans: Loans | undefined
  readonly #deadlineMs: number
  #certificate: Promise<Certificate> | undefined

  constructor(components: TlsComponents, options: TlsOptions) {
    this.#components = components
    this.#self = peerIdFromPrivateKey(components.privateKey)
    this.#proofKeys = options.proofKeys
    this.#loans = options.loans
    this.#deadlineMs = options.deadlineMs ?? LIMITS.handshakeDeadlineMs
    this.protocol = options.proofKeys.length === 0 ? TLS_PROTOCOL.open : TLS_PROTOCOL.members
  }

  secureOutbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    return this.secure(connection, 'client', options)
  }

  secureInbound(connection: MessageStream, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
    return this.secure(connection, 'server', options)
  }

  private async secure(
    connection: MessageStream,
    role: Role,
    options: SecureConnectionOptions
  ): Promise<SecuredConnection> {
    const deadline = AbortSignal.timeout(this.#deadlineMs)
    const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline
    const muxers =
      options.skipStreamMuxerNegotiation === true
        ? new Map<string, StreamMuxerFactory>()
        : this.#components.upgrader.getStreamMuxers()
    try {
      const certificate = await this.certificate()
      const tcp = await takeSocket(connection, signal)
      const socket = await shakeHands(tcp, { role, certificate, protocols: [...muxers.keys(), NO_MUXER], signal })
      const remotePeer = await verifyCertificate(socket.getPeerX509Certificate(), options.remotePeer)
      await this.proveMembership(socket, role, remotePeer, signal)
      if (socket.destroyed) throw socket.errored ?? new Error('the connection ended')
      const streamMuxer = agreedMuxer(socket.alpnProtocol, muxers)
      const secured = { connection: new TlsConnection(tcp, socket, this.#loans), remotePeer }
      return streamMuxer ? { ...secured, streamMuxer } : secured
    } catch (cause) {
      const error = asMeshError(cause, deadline)
      connection.abort(error)
      throw error
    }
  }

  /** Made once: what it says does not depend on the peer. */
  private certificate(): Promise<Certificate> {
    this.#certificate ??= createCertificate(this.#components.privateKey)
    return this.#certificate
  }

  /**
   * The client, who is the first to speak in TLS 1.3 anyway, proves its membership first. So the server tells nothing
   * to strangers that they could test guesses of the secret with, and no time is lost.
   */
  private async proveMembership(socket: TLSSocket, role: Role, peer: PeerId, signal: AbortSignal): Promise<void> {
    const [ownKey] = this.#proofKeys
    if (!ownKey) return
    const [client, server] = role === 'client' ? [this.#self, peer] : [peer, this.#self]
    const session = { keyingMaterial: keyingMaterial(socket), client, server }
    const prove = () => socket.write(makeProof(ownKey, role, session))
    const check = async () => {
      const proof = await readExactly(socket, PROOF_BYTES, signal).catch((cause: unknown) => {
        signal.throwIfAborted()
        throw notAMember(peer, 'ended the connection instead of proving that it knows the cluster secret', cause)
      })
      if (!checkProof(proof, this.#proofKeys, role === 'client' ? 'server' : 'client', session)) {
        throw notAMember(peer, 'has another cluster secret')
      }
    }
    if (role === 'client') prove()
    await check()
    if (role === 'server') prove()
  }
}

function agreedMuxer(
  alpn: string | false | null,
  muxers: ReadonlyMap<string, StreamMuxerFactory>
): StreamMuxerFactory | undefined {
  if (alpn === NO_MUXER) return undefined
  const muxer = muxers.get(alpn || '')
  if (!muxer) throw new MeshError('PEER_MISBEHAVED', `the peer agreed on ${alpn || 'nothing'} by ALPN`)
  return muxer
}

function notAMember(peer: PeerId, what: string, cause?: unknown): MeshError {
  return new MeshError('NOT_A_MEMBER', `the peer ${peer} ${what}`, { peerId: peer.toString(), cause })
}

function asMeshError(error: unknown, deadline: AbortSignal): MeshError {
  if (deadline.aborted) return new MeshError('DEADLINE', 'the TLS handshake took too long', { cause: error })
  if (error instanceof MeshError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new MeshError('PEER_UNREACHABLE', `the TLS handshake failed: ${reason}`, { cause: error })
}
