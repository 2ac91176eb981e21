import { createHash } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import type { ConnectionEncrypter, MessageStream, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { MeshError } from '../errors.ts'
import type { Admissions } from './admissions.ts'

const PROLOGUE_DOMAIN = 'layermesh membership 1'
/** The last few secrets; what was made for others is thrown away. */
const KEPT = 4

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0]

/** What both sides must put into the handshake (Noise Protocol Framework §6). @param secret none in an open mesh */
export function prologueOf(secret: Uint8Array | undefined): Uint8Array {
  return createHash('sha256')
    .update(PROLOGUE_DOMAIN)
    .update(secret ?? new Uint8Array())
    .digest()
}

/**
 * Noise whose prologue holds the cluster secret, for libp2p's `connectionEncrypters`. A prologue holds one secret: of
 * several, the first. It can show no ticket.
 */
export function memberNoise(admissions: Admissions): (components: NoiseComponents) => ConnectionEncrypter {
  return (components) => new MemberNoise(admissions, components)
}

class MemberNoise implements ConnectionEncrypter {
  readonly protocol: string
  readonly #admissions: Admissions
  readonly #components: NoiseComponents
  readonly #made = new LRUCache<string, ConnectionEncrypter>({ max: KEPT })

  constructor(admissions: Admissions, components: NoiseComponents) {
    this.#admissions = admissions
    this.#components = components
    this.protocol = noise()(components).protocol
  }

  secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.secure(connection, (made) => made.secureOutbound(connection, options))
  }

  secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    return this.secure(connection, (made) => made.secureInbound(connection, options))
  }

  private async secure(
    connection: MessageStream,
    shakeHands: (made: ConnectionEncrypter) => Promise<SecuredConnection>
  ): Promise<SecuredConnection> {
    const secret = this.#admissions.firstSecret()
    if (secret === undefined && !this.#admissions.open) {
      throw new MeshError('NOT_A_MEMBER', 'noise lets in by a cluster secret, and there is none')
    }
    const secured = await shakeHands(this.madeFor(prologueOf(secret)))
    this.#admissions.enter(connection, secured.remotePeer)
    this.#admissions.admitBySecret(connection, secured.remotePeer, secret)
    return secured
  }

  private madeFor(prologueBytes: Uint8Array): ConnectionEncrypter {
    const key = Buffer.from(prologueBytes).toString('hex')
    let made = this.#made.get(key)
    if (!made) {
      made = noise({ prologueBytes })(this.#components)
      this.#made.set(key, made)
    }
    return made
  }
}
