import { connect, type TLSSocket } from 'node:tls'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey, StreamMessageEvent } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { pEvent } from 'p-event'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../testing/mesh-fixture.ts'
import { makeTls, TcpPair } from '../../testing/tcp-pair.ts'
import { secretsAlone } from '../membership.ts'
import { createCertificate } from './certificate.ts'
import { encodeCredentials, readCredentials } from './credentials.ts'
import { type Role, readExactly, shakeHands } from './handshake.ts'
import { keyingMaterial, makeProof, PROOF_BYTES, proofKey } from './proof.ts'
import { takeSocket } from './socket.ts'

const [secret, otherSecret] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const members = secretsAlone([secret])
const others = secretsAlone([otherSecret])
const never = new AbortController().signal
const refusal = (code: string) => expect.objectContaining({ code })
const BRIEF_MS = 200

let pair: TcpPair
beforeEach(async () => {
  pair = await TcpPair.connect()
})
afterEach(() => pair[Symbol.asyncDispose]())

/** One who has a certificate as all of libp2p, and then does what a test wants. */
async function stranger(role: Role, identity?: PrivateKey): Promise<TLSSocket> {
  const certificate = await createCertificate(identity ?? (await generateKeyPair('Ed25519')))
  const tcp = await takeSocket(role === 'client' ? pair.client : pair.server, never)
  return shakeHands(tcp, { role, certificate, protocols: ['libp2p'], signal: never })
}

describe('two nodes over TLS', () => {
  it.each([
    ['in an open mesh', secretsAlone([])],
    ['in a mesh with a secret', members]
  ])('know each other %s', async (_, policy) => {
    const client = await makeTls(policy)
    const server = await makeTls(policy)
    const [outbound, inbound] = await Promise.all([
      client.encrypter.secureOutbound(pair.client),
      server.encrypter.secureInbound(pair.server)
    ])
    expect(outbound.remotePeer.equals(peerIdFromPrivateKey(server.privateKey))).toBe(true)
    expect(inbound.remotePeer.equals(peerIdFromPrivateKey(client.privateKey))).toBe(true)
  })

  it('meet also when the first bytes come before the other is ready for them', async () => {
    const client = await makeTls(members)
    const server = await makeTls(members)
    const outbound = client.encrypter.secureOutbound(pair.client)
    await until(() => pair.server.readBufferLength > 0)
    await Promise.all([outbound, server.encrypter.secureInbound(pair.server)])
  })

  it('lose no bytes that come with the proof', async () => {
    const { encrypter, privateKey } = await makeTls(members)
    const outbound = encrypter.secureOutbound(pair.client)
    const identity = await generateKeyPair('Ed25519')
    const socket = await stranger('server', identity)
    await readCredentials(socket, never)
    const proof = makeProof(proofKey(secret), 'server', {
      keyingMaterial: keyingMaterial(socket),
      client: peerIdFromPrivateKey(privateKey),
      server: peerIdFromPrivateKey(identity)
    })
    socket.write(Buffer.concat([encodeCredentials({ proofs: [proof] }), Buffer.from('at once')]))
    const { connection } = await outbound
    const { data } = await pEvent<'message', StreamMessageEvent>(connection, 'message')
    expect(Buffer.from(data.subarray()).toString()).toBe('at once')
  })

  it('part when the one who was dialled is another', async () => {
    const client = await makeTls(members)
    const server = await makeTls(members)
    const expected = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const [outbound, inbound] = await Promise.allSettled([
      client.encrypter.secureOutbound(pair.client, { remotePeer: expected }),
      server.encrypter.secureInbound(pair.server)
    ])
    expect(outbound).toMatchObject({ status: 'rejected', reason: refusal('PEER_IDENTITY') })
    expect(inbound).toMatchObject({ status: 'rejected' })
  })
})

describe('a stranger', () => {
  it('with another secret is refused by both sides', async () => {
    const client = await makeTls(members)
    const server = await makeTls(others)
    const outbound = client.encrypter.secureOutbound(pair.client)
    await expect(server.encrypter.secureInbound(pair.server)).rejects.toThrow('has another cluster secret')
    await expect(outbound).rejects.toEqual(refusal('NOT_A_MEMBER'))
  })

  it('that dials and sends what is no proof is refused, and gets none', async () => {
    const { encrypter } = await makeTls(members)
    const inbound = encrypter.secureInbound(pair.server)
    const socket = await stranger('client')
    socket.write(encodeCredentials({ proofs: [Buffer.alloc(PROOF_BYTES)] }))
    await expect(inbound).rejects.toEqual(refusal('NOT_A_MEMBER'))
    await expect(readExactly(socket, 1, never)).rejects.toThrow()
  })

  it.each<Role>(['client', 'server'])(
    'that is a %s and leaves instead of showing credentials is refused',
    async (role) => {
      const { encrypter } = await makeTls(members)
      const secured = role === 'client' ? encrypter.secureInbound(pair.server) : encrypter.secureOutbound(pair.client)
      const socket = await stranger(role)
      socket.end()
      await expect(secured).rejects.toEqual(refusal('NOT_A_MEMBER'))
    }
  )

  it.each([
    ['none', Buffer.from('0000', 'hex')],
    ['too many bytes', Buffer.from('0401', 'hex')],
    ['more proofs than there can be secrets', encodeCredentials({ proofs: Array(5).fill(Buffer.alloc(PROOF_BYTES)) })],
    ['a proof of another length', encodeCredentials({ proofs: [Buffer.alloc(PROOF_BYTES + 1)] })],
    ['what is no CBOR', Buffer.from('0002ffff', 'hex')]
  ])('that dials and shows %s is refused, and is shown nothing', async (_, bytes) => {
    const { encrypter, refusals } = await makeTls(members)
    const inbound = encrypter.secureInbound(pair.server)
    const socket = await stranger('client')
    socket.write(bytes)
    await expect(inbound).rejects.toEqual(refusal('NOT_A_MEMBER'))
    await expect(readExactly(socket, 1, never)).rejects.toThrow()
    expect(refusals).toEqual(['not-a-member'])
  })

  it('that sends the proof back which it got is refused', async () => {
    const { encrypter } = await makeTls(members)
    const outbound = encrypter.secureOutbound(pair.client)
    const socket = await stranger('server')
    socket.write(encodeCredentials(await readCredentials(socket, never)))
    await expect(outbound).rejects.toThrow('has another cluster secret')
  })

  it('between two members can not pass their proofs on', async () => {
    const { encrypter: client } = await makeTls(members)
    const { encrypter: server } = await makeTls(members)
    await using second = await TcpPair.connect()
    const outbound = client.secureOutbound(pair.client)
    const inbound = server.secureInbound(second.server)
    const towardsClient = await stranger('server')
    const certificate = await createCertificate(await generateKeyPair('Ed25519'))
    const towardsServer = await shakeHands(await takeSocket(second.client, never), {
      role: 'client',
      certificate,
      protocols: ['libp2p'],
      signal: never
    })
    towardsServer.write(encodeCredentials(await readCredentials(towardsClient, never)))
    await expect(inbound).rejects.toThrow('has another cluster secret')
    towardsClient.destroy()
    await expect(outbound).rejects.toEqual(refusal('NOT_A_MEMBER'))
  })

  it('without a certificate is refused', async () => {
    const { encrypter } = await makeTls(secretsAlone([]))
    const inbound = encrypter.secureInbound(pair.server)
    const { socket } = await takeSocket(pair.client, never)
    const secured = connect({ socket, rejectUnauthorized: false, ALPNProtocols: ['libp2p'] }).on('error', () => {})
    await expect(inbound).rejects.toThrow('showed no certificate')
    secured.destroy()
  })
})

describe('a peer that falls silent', () => {
  const closed = () => pEvent(pair.client, 'close')

  it('before the handshake is dropped at the deadline', async () => {
    const { encrypter } = await makeTls(members, { deadlineMs: BRIEF_MS })
    const gone = closed()
    await expect(encrypter.secureInbound(pair.server)).rejects.toEqual(refusal('DEADLINE'))
    await gone
  })

  it('before its credentials is dropped at the deadline', async () => {
    const { encrypter } = await makeTls(members, { deadlineMs: BRIEF_MS })
    const gone = closed()
    const [secured] = await Promise.allSettled([encrypter.secureInbound(pair.server), stranger('client')])
    expect(secured).toMatchObject({ status: 'rejected', reason: refusal('DEADLINE') })
    await gone
  })

  it('is dropped when libp2p wants no more', async () => {
    const { encrypter } = await makeTls(members)
    const gone = closed()
    await expect(encrypter.secureInbound(pair.server, { signal: AbortSignal.timeout(BRIEF_MS) })).rejects.toThrow()
    await gone
  })
})
