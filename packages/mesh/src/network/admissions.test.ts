import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { pEvent } from 'p-event'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { LIMITS } from '../limits.ts'
import { makeTls, TcpPair } from '../testing/tcp-pair.ts'
import { TestPolicy, testTicket } from '../testing/test-policy.ts'

const pairs: TcpPair[] = []
afterEach(async () => {
  for (const pair of pairs.splice(0)) await pair[Symbol.asyncDispose]()
  vi.restoreAllMocks()
})

type End = Awaited<ReturnType<typeof makeTls>>

/** Connects two ends. @throws what the one who was dialled says, else what the other one says */
async function meet(client: End, server: End) {
  const pair = await TcpPair.connect()
  pairs.push(pair)
  const [outbound, inbound] = await Promise.allSettled([
    client.encrypter.secureOutbound(pair.client),
    server.encrypter.secureInbound(pair.server)
  ])
  if (inbound.status === 'rejected') throw inbound.reason
  if (outbound.status === 'rejected') throw outbound.reason
  return { client: outbound.value.connection, server: inbound.value.connection }
}

const end = (policy: TestPolicy, privateKey?: PrivateKey) => makeTls(policy, privateKey ? { privateKey } : {})
const nameOf = (key: PrivateKey) => peerIdFromPrivateKey(key).toString()

/** A node with a ticket of its own. */
async function holder(options?: { id?: string; expiresAt?: number }) {
  const privateKey = await generateKeyPair('Ed25519')
  const policy = new TestPolicy('ticket', [], testTicket(nameOf(privateKey), options))
  return { ...(await end(policy, privateKey)), policy, peerId: nameOf(privateKey) }
}

describe('while secrets change', () => {
  const STAGES = [[1], [1, 2], [2, 1], [2]]
  const neighbours = STAGES.flatMap((stage, i) => [stage, STAGES[i + 1]].map((other) => [stage, other ?? stage]))

  it.each(neighbours)('nodes with the secrets %j and %j meet, whoever dials', async (one = [], other = []) => {
    const [a, b] = [await end(new TestPolicy('secret', one)), await end(new TestPolicy('secret', other))]
    await meet(a, b)
    await meet(b, a)
  })

  it('the old one lets nobody in once it is gone', async () => {
    const [a, b] = [await end(new TestPolicy('secret', [1])), await end(new TestPolicy('secret', [2]))]
    await expect(meet(a, b)).rejects.toThrow('has another cluster secret')
    expect(b.refusals).toEqual(['not-a-member'])
  })

  it('connections that were let in by the old one alone end once it is gone, the others stay', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const policy = new TestPolicy('secret', [1, 2])
    const node = await end(policy)
    const behind = await meet(await end(new TestPolicy('secret', [1])), node)
    const ahead = await meet(await end(new TestPolicy('secret', [1, 2])), node)
    const ended = pEvent(behind.server, 'close')
    policy.secretBytes = [2]
    policy.changed()
    await ended
    expect(node.refusals).toEqual(['lapsed'])
    expect(ahead.server.status).toBe('open')
  })

  it('there are not too many, nor short ones', async () => {
    await expect(end(new TestPolicy('secret', [1, 2, 3, 4, 5]))).rejects.toThrow('at most 4')
    const short = new TestPolicy('secret', [1])
    short.secrets = () => [new Uint8Array(31)]
    await expect(end(short)).rejects.toMatchObject({ code: 'SECRET_INVALID' })
  })
})

describe('by tickets', () => {
  it('two nodes come together that each have one', async () => {
    await meet(await holder(), await holder())
  })

  it('nobody comes in with that of another, one that was revoked, or none', async () => {
    const node = await holder()
    const key = await generateKeyPair('Ed25519')
    const stolen = await end(new TestPolicy('ticket', [], node.policy.ownTicket), key)
    await expect(meet(stolen, node)).rejects.toThrow(`the ticket is for ${node.peerId}`)
    const revoked = await holder({ id: 'gone' })
    node.policy.revokedTickets.add('gone')
    await expect(meet(revoked, node)).rejects.toThrow('counts no more')
    await expect(meet(await end(new TestPolicy('ticket')), node)).rejects.toThrow('showed no ticket')
    await expect(meet(node, await end(new TestPolicy('ticket')))).rejects.toMatchObject({ code: 'NOT_A_MEMBER' })
    expect(node.refusals).toEqual(['not-a-member', 'not-a-member', 'not-a-member', 'not-a-member'])
  })

  it('a secret lets nobody in where a ticket is asked for', async () => {
    const node = await holder()
    node.policy.secretBytes = [1]
    await expect(meet(await end(new TestPolicy('secret', [1])), node)).rejects.toThrow('showed no ticket')
  })

  it('a seed that may sign them needs none', async () => {
    const node = await holder()
    const key = await generateKeyPair('Ed25519')
    node.policy.signers.add(nameOf(key))
    const seed = await end(new TestPolicy('ticket'), key)
    await meet(seed, node)
    await meet(node, seed)
  })

  it('a seed that may sign them no more has to go', async () => {
    const node = await holder()
    const key = await generateKeyPair('Ed25519')
    node.policy.signers.add(nameOf(key))
    const { server } = await meet(await end(new TestPolicy('ticket'), key), node)
    const ended = pEvent(server, 'close')
    node.policy.changed()
    expect(server.status).toBe('open')
    node.policy.signers.clear()
    node.policy.changed()
    await ended
    expect(node.refusals).toEqual(['lapsed'])
  })

  it('either of ticket and secret lets in while a mesh goes from one to the other', async () => {
    const either = await end(new TestPolicy('either', [1]))
    await meet(await end(new TestPolicy('secret', [1])), either)
    const withTicket = await holder()
    await expect(meet(withTicket, either)).rejects.toMatchObject({ code: 'NOT_A_MEMBER' })
    const key = await generateKeyPair('Ed25519')
    const both = await end(new TestPolicy('either', [1], testTicket(nameOf(key))), key)
    await meet(withTicket, both)
    await meet(both, either)
  })

  it('a connection ends when the ticket expires', async () => {
    // On a slow machine a brief ticket is over before the two have met.
    for (let lifetimeMs = 500; ; lifetimeMs *= 2) {
      const brief = await holder({ expiresAt: Date.now() + lifetimeMs })
      const node = await holder()
      const met = await meet(brief, node).catch(() => undefined)
      if (!met) continue
      if (met.server.status === 'open') await pEvent(met.server, 'close')
      expect(node.refusals).toEqual(['lapsed'])
      break
    }
  })

  it('a connection ends when the ticket is revoked', async () => {
    const [other, node] = [await holder({ id: 'stolen' }), await holder()]
    const { server } = await meet(other, node)
    const ended = pEvent(server, 'close')
    node.policy.changed()
    expect(server.status).toBe('open')
    node.policy.revokedTickets.add('stolen')
    node.policy.changed()
    await ended
  })
})

describe.each(['open', 'secret'] as const)('in a mesh that is %s', (admission) => {
  const policyOf = () => new TestPolicy(admission, admission === 'open' ? [] : [1])

  it('a peer that is revoked is refused whoever dials, and its connections end', async () => {
    const policy = policyOf()
    const [node, key] = [await end(policy), await generateKeyPair('Ed25519')]
    const other = await end(policyOf(), key)
    const [first, second] = [await meet(other, node), await meet(node, other)]
    const ended = Promise.all([pEvent(first.server, 'close'), pEvent(second.client, 'close')])
    policy.revokedPeers.add(nameOf(key))
    policy.changed()
    await ended
    await expect(meet(other, node)).rejects.toThrow('is revoked')
    await expect(meet(node, other)).rejects.toThrow()
    expect(node.refusals).toEqual(['revoked', 'revoked', 'revoked', 'revoked'])
  })

  it('a peer has so many connections and no more', async () => {
    const [node, key] = [await end(policyOf()), await generateKeyPair('Ed25519')]
    // Each time anew, so that it does not count itself.
    const again = async () => await meet(await end(policyOf(), key), node)
    const open = []
    for (let i = 0; i < LIMITS.connectionsPerPeer; i++) open.push(await again())
    await expect(again()).rejects.toThrow('connections already')
    expect(node.refusals).toEqual(['surplus'])
    const [first] = open
    const closed = first && pEvent(first.server, 'close')
    first?.server.abort(new Error('done'))
    await closed
    await again()
  })

  it('a node has so many connections and no more, but with seeds', async () => {
    const [policy, seed] = [policyOf(), await generateKeyPair('Ed25519')]
    const node = await makeTls(policy, { maxPeers: 2 })
    const open = [await meet(await end(policyOf()), node), await meet(await end(policyOf()), node)]
    await expect(meet(await end(policyOf()), node)).rejects.toThrow('connections already')
    expect(node.refusals).toEqual(['surplus'])
    policy.signers.add(nameOf(seed))
    await meet(await end(policyOf(), seed), node)
    const closed = open.map(({ server }) => pEvent(server, 'close'))
    for (const { server } of open) server.abort(new Error('done'))
    await Promise.all(closed)
    await meet(await end(policyOf()), node)
  })

  it('a connection that ended during its handshake is not counted', async () => {
    const [node, key] = [await end(policyOf()), await generateKeyPair('Ed25519')]
    const pair = await TcpPair.connect()
    pairs.push(pair)
    const closed = pEvent(pair.server, 'close')
    pair.client.abort(new Error('gone'))
    await closed
    for (let i = 0; i < LIMITS.connectionsPerPeer; i++) {
      expect(() => node.admissions.enter(pair.server, peerIdFromPrivateKey(key))).toThrow('the connection ended')
    }
    await meet(await end(policyOf(), key), node)
  })
})
