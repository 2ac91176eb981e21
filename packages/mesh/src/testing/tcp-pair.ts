import { generateKeyPair } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, Libp2p, MessageStream, PrivateKey, SecuredConnection } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import type { MembershipPolicy, RefusalReason } from '../interfaces.ts'
import type { Loans } from '../loans.ts'
import { Admissions } from '../network/admissions.ts'
import { tls } from '../network/tls/encrypter.ts'

/** Hands connections to the test where libp2p would have them encrypted. */
class Catcher implements ConnectionEncrypter {
  readonly protocol = '/test/caught'
  readonly #caught: (connection: MessageStream) => void

  constructor(caught: (connection: MessageStream) => void) {
    this.#caught = caught
  }

  secureInbound(connection: MessageStream): Promise<SecuredConnection> {
    this.#caught(connection)
    return new Promise(() => {})
  }

  secureOutbound(connection: MessageStream): Promise<SecuredConnection> {
    return this.secureInbound(connection)
  }
}

/** Both ends of a TCP connection, right after multistream-select was spoken over it. */
export class TcpPair implements AsyncDisposable {
  readonly client: MessageStream
  readonly server: MessageStream
  readonly #nodes: readonly Libp2p[]

  private constructor(client: MessageStream, server: MessageStream, nodes: readonly Libp2p[]) {
    this.client = client
    this.server = server
    this.#nodes = nodes
  }

  static async connect(): Promise<TcpPair> {
    const { promise: server, resolve: caughtServer } = Promise.withResolvers<MessageStream>()
    const { promise: client, resolve: caughtClient } = Promise.withResolvers<MessageStream>()
    const listener = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [() => new Catcher(caughtServer)]
    })
    const dialler = await createLibp2p({
      transports: [tcp()],
      connectionEncrypters: [() => new Catcher(caughtClient)]
    })
    dialler.dial(listener.getMultiaddrs()).catch(() => {})
    return new TcpPair(await client, await server, [dialler, listener])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of [this.client, this.server]) end.abort(new Error('the test is over'))
    await Promise.all(this.#nodes.map((node) => node.stop()))
  }
}

/** An encrypter as libp2p would make it, without muxers to agree upon. */
export async function makeTls(
  policy: MembershipPolicy,
  {
    privateKey,
    maxPeers = 100,
    ...rest
  }: { privateKey?: PrivateKey; maxPeers?: number; deadlineMs?: number; loans?: Loans } = {}
): Promise<{
  encrypter: ConnectionEncrypter
  privateKey: PrivateKey
  admissions: Admissions
  /** Why connections were not let in, or ended. */
  refusals: RefusalReason[]
}> {
  const identity = privateKey ?? (await generateKeyPair('Ed25519'))
  const refusals: RefusalReason[] = []
  const onRefused = ({ reason }: { reason: RefusalReason }) => refusals.push(reason)
  const admissions = new Admissions({ policy, maxPeers, isBanned: () => false, onRefused })
  const encrypter = tls({ admissions, ...rest })({
    privateKey: identity,
    upgrader: { getStreamMuxers: () => new Map() }
  })
  return { encrypter, privateKey: identity, admissions, refusals }
}
