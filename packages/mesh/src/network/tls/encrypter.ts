/**
 * TLS 1.3 as libp2p speaks it (https://github.com/libp2p/specs/blob/master/tls/tls.md), put straight on the TCP socket.
 * In a mesh that is not open, what each side has to show of its membership follows on the handshake (see
 * credentials.ts). Since that is more than libp2p's TLS, it goes by a name of its own.
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
import type { Admissions } from '../admissions.ts'
import { type Certificate, createCertificate, verifyCertificate } from './certificate.ts'
import { TlsConnection } from './connection.ts'
import { encodeCredentials, readCredentials } from './credentials.ts'
import { type Role, shakeHands } from './handshake.ts'
import { keyingMaterial } from './proof.ts'
import { takeSocket } from './socket.ts'

const TLS_PROTOCOL = Object.freeze({
  /** As all of libp2p has it. */
  open: '/tls/1.0.0',
  /** The same, with credentials. */
  members: '/layermesh/tls/2.0.0'
})

/** Agreed upon by peers without a muxer in common (libp2p specs, connections/inlined-muxer-negotiation.md). */
const NO_MUXER = 'libp2p'

export interface TlsComponents {
  readonly privateKey: PrivateKey
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

export interface TlsOptions {
  /** Who is let in. */
  readonly admissions: Admissions
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
  readonly #admissions: Admissions
  readonly #loans: Loans | undefined
  readonly #deadlineMs: number
  #certificate: Promise<Certificate> | undefined

  constructor(components: TlsComponents, options: TlsOptions) {
    this.#components = components
    this.#self = peerIdFromPrivateKey(components.privateKey)
    this.#admissions = options.admissions
    this.#loans = options.loans
    this.#deadlineMs = options.deadlineMs ?? LIMITS.handshakeDeadlineMs
    this.protocol = options.admissions.open ? TLS_PROTOCOL.open : TLS_PROTOCOL.members
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
      this.#admissions.enter(connection, remotePeer)
      if (this.#admissions.open) this.#admissions.admitBySecret(connection, remotePeer, undefined)
      else await this.showCredentials({ connection, socket, role, peer: remotePeer, signal })
      if (socket.destroyed) throw socket.errored ?? new Error('the connection ended')
      const streamMuxer = agreedMuxer(socket.alpnProtocol, muxers)
      const secured = { connection: new TlsConnection(tcp, socket, this.#loans), remotePeer }
      return streamMuxer ? { ...secured, streamMuxer } : secured
    } catch (cause) {
      const error = asMeshError(cause, deadline)
      if (role === 'server' && error.code !== 'NOT_A_MEMBER') this.#admissions.failed(error)
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
   * The client, who is the first to speak in TLS 1.3 anyway, shows what it has first. So the server tells nothing to
   * strangers that they could test guesses of the secret with, and no time is lost.
   */
  private async showCredentials({ connection, socket, role, peer, signal }: Encounter): Promise<void> {
    const [client, server] = role === 'client' ? [this.#self, peer] : [peer, this.#self]
    const session = { keyingMaterial: keyingMaterial(socket), client, server }
    const show = () => socket.write(encodeCredentials(this.#admissions.credentials(role, session)))
    const check = async () => {
      const shown = await readCredentials(socket, signal).catch((cause: unknown) => {
        signal.throwIfAborted()
        const did =
          cause instanceof MeshError ? 'sent no credentials' : 'ended the connection instead of showing credentials'
        throw this.#admissions.refusal(peer.toString(), 'not-a-member', did, cause)
      })
      await this.#admissions.admit(connection, shown, role === 'client' ? 'server' : 'client', session)
    }
    if (role === 'client') show()
    await check()
    if (role === 'server') show()
  }
}

/** A connection whose ends have proved who they are. */
interface Encounter {
  readonly connection: MessageStream
  readonly socket: TLSSocket
  readonly role: Role
  readonly peer: PeerId
  readonly signal: AbortSignal
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

function asMeshError(error: unknown, deadline: AbortSignal): MeshError {
  if (deadline.aborted) return new MeshError('DEADLINE', 'the TLS handshake took too long', { cause: error })
  if (error instanceof MeshError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new MeshError('PEER_UNREACHABLE', `the TLS handshake failed: ${reason}`, { cause: error })
}
