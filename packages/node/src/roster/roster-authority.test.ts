import type { NoticeOutcome } from '@layermesh/mesh'
import { type ApiKey, MAX_ROSTER_BYTES, MAX_ROSTER_ENTRIES, sealRoster } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import { SignedNoticeBoard } from '../notices/notice-board.ts'
import { MemoryNotices, makeIdentity } from '../testing/notices.ts'
import { RosterAuthority } from './roster-authority.ts'
import { Rosters } from './rosters.ts'

const DAY_MS = 86_400_000
const seed = await makeIdentity()
const otherSeed = await makeIdentity()
const { peerId: peer } = await makeIdentity()
const refusal = (code: string) => expect.objectContaining({ code })

let now: number
let signers: string[]
let store: MemoryNotices
beforeEach(() => {
  now = 1_800_000_000_000
  signers = [seed.peerId, otherSeed.peerId]
  store = new MemoryNotices()
})

const apiKey = (id: string): ApiKey => ({
  id,
  hash: new Uint8Array(32),
  name: 'ci',
  user: 'alice',
  scopes: [{ repositories: '**', actions: ['pull'] }],
  createdAt: now,
  expiresAt: now + DAY_MS
})

async function start({ peerId, privateKey } = seed, from = store) {
  const isSigner = (signer: string) => signers.includes(signer)
  const rosters = new Rosters({ isSigner, now: () => now })
  const outcomes: NoticeOutcome[] = []
  const board = new SignedNoticeBoard({
    store: from,
    kinds: [rosters.kind],
    onOutcome: ({ outcome }) => outcomes.push(outcome),
    now: () => now
  })
  await board.load()
  const authority = new RosterAuthority({
    peerId,
    privateKey,
    board,
    rosters,
    isSigner,
    onRenewalFailed: (error) => expect.unreachable(String(error)),
    now: () => now
  })
  const sequence = () => rosters.rosterOf(peerId)?.sequence
  return { board, rosters, authority, outcomes, sequence }
}

describe('the roster of a seed', () => {
  it('tells who is revoked until it is restored', async () => {
    const { authority, rosters, sequence } = await start()
    await authority.revokePeer(peer)
    expect(rosters.revokedPeers()).toEqual([{ peerId: peer, revokedBy: [seed.peerId] }])
    expect(rosters.isRevokedPeer(peer)).toBe(true)
    await authority.restorePeer(peer)
    expect([rosters.isRevokedPeer(peer), sequence()]).toEqual([false, 2])
    await expect(authority.restorePeer(peer)).rejects.toEqual(refusal('NOT_REVOKED'))
  })

  it('goes on after a restart where it was', async () => {
    await (await start()).authority.revokePeer(peer)
    const { authority, rosters, sequence } = await start()
    await authority.revokeTicket('t1')
    expect([rosters.isRevokedPeer(peer), rosters.isRevokedTicket('t1'), sequence()]).toEqual([true, true, 2])
  })

  it('loses nothing when many change it at once', async () => {
    const { authority, rosters, sequence } = await start()
    const ids = Array.from({ length: 20 }, (_, i) => `t${i}`)
    await Promise.all(ids.map((id) => authority.revokeTicket(id)))
    expect(ids.filter((id) => !rosters.isRevokedTicket(id))).toEqual([])
    expect(sequence()).toBe(20)
  })

  it('comes back from peers when the disk lost it, and goes on from there', async () => {
    const before = await start()
    for (const id of ['t1', 't2']) await before.authority.revokeTicket(id)
    const envelope = (await before.board.get('roster', seed.peerId)) ?? expect.unreachable()
    const after = await start(seed, new MemoryNotices())
    expect(await after.board.offer('roster', envelope, 'p')).toBe('new')
    await after.authority.revokePeer(peer)
    expect([after.rosters.isRevokedTicket('t1'), after.sequence()]).toEqual([true, 3])
  })

  it('revokes nobody who is trusted to sign, whatever a roster says', async () => {
    const { authority, board, rosters } = await start()
    await expect(authority.revokePeer(otherSeed.peerId)).rejects.toEqual(refusal('PEER_TRUSTED'))
    const lists = { revokedPeers: [seed.peerId, peer], revokedTickets: [], revokedKeys: [], apiKeys: [] }
    const hostile = { ...lists, sequence: 1, issuedAt: now, expiresAt: now + DAY_MS }
    await board.offer('roster', await sealRoster(hostile, otherSeed.privateKey), 'p')
    expect([rosters.isRevokedPeer(seed.peerId), rosters.isRevokedPeer(peer)]).toEqual([false, true])
    signers = [otherSeed.peerId]
    expect(rosters.isRevokedPeer(seed.peerId)).toBe(true)
  })

  it('has API keys until they are revoked or expire', async () => {
    const { authority, rosters } = await start()
    await authority.addKey(apiKey('k1'))
    await authority.addKey(apiKey('k2'))
    await expect(authority.addKey(apiKey('k1'))).rejects.toEqual(refusal('KEY_EXISTS'))
    expect(rosters.findKey('k1')).toEqual({ key: apiKey('k1'), signer: seed.peerId })
    await authority.revokeKey('k1')
    expect([rosters.findKey('k1'), rosters.keys().map(({ key }) => key.id)]).toEqual([undefined, ['k2']])
    await expect(authority.revokeKey('k1')).rejects.toEqual(refusal('KEY_UNKNOWN'))
    now += DAY_MS
    expect(rosters.findKey('k2')).toBeUndefined()
    await authority.revokeTicket('t1')
    expect(rosters.rosterOf(seed.peerId)?.apiKeys).toEqual([])
  })

  it('revokes a key of another seed, and those of a seed that is trusted no more count no more', async () => {
    const other = await start(otherSeed, new MemoryNotices())
    for (const id of ['k1', 'k2']) await other.authority.addKey(apiKey(id))
    const envelope = (await other.board.get('roster', otherSeed.peerId)) ?? expect.unreachable()
    const { authority, board, rosters } = await start()
    await board.offer('roster', envelope, 'p')
    await authority.revokeKey('k1')
    expect(rosters.keys().map(({ key }) => key.id)).toEqual(['k2'])
    signers = [seed.peerId]
    expect(rosters.keys()).toEqual([])
  })

  it('expires, and with it its keys but not its revocations', async () => {
    const { authority, rosters } = await start()
    await authority.addKey({ ...apiKey('k1'), expiresAt: now + 90 * DAY_MS })
    await authority.revokePeer(peer)
    now += 30 * DAY_MS
    expect([rosters.findKey('k1'), rosters.isRevokedPeer(peer)]).toEqual([undefined, true])
  })

  it('is signed anew when it is old, with the same content', async () => {
    const before = await start()
    await before.authority.addKey({ ...apiKey('k1'), expiresAt: now + 90 * DAY_MS })
    now += 30 * DAY_MS
    const { authority, rosters, sequence } = await start()
    authority.start()
    await authority.stop()
    expect(sequence()).toBe(2)
    expect(rosters.findKey('k1')).toBeDefined()
    authority.start()
    await authority.stop()
    expect(sequence()).toBe(2)
  })

  it('is not made by a seed that has nothing to say', async () => {
    const { authority, outcomes } = await start()
    authority.start()
    await authority.stop()
    expect(outcomes).toEqual([])
  })

  it('is not taken from a node that may not sign', async () => {
    signers = []
    await expect((await start()).authority.revokeTicket('t1')).rejects.toEqual(refusal('ROSTER_REFUSED'))
  })

  it('has a bound', async () => {
    const { authority, board } = await start()
    const revokedTickets = Array.from({ length: MAX_ROSTER_ENTRIES }, (_, i) => `t${i}`)
    const full = { revokedPeers: [], revokedTickets, revokedKeys: [], apiKeys: [] }
    const statement = { sequence: 1, issuedAt: now, expiresAt: now + DAY_MS }
    await board.offer('roster', await sealRoster({ ...full, ...statement }, seed.privateKey), 'p')
    await expect(authority.revokeTicket('one more')).rejects.toEqual(refusal('ROSTER_FULL'))
    await authority.revokeTicket('t1')
  })

  it('has a bound for all its lists together', async () => {
    const { authority, board } = await start()
    const scopes = Array.from({ length: 16 }, (_, i) => ({
      repositories: `${'team/'.repeat(20)}app${i}`,
      actions: ['pull' as const]
    }))
    const large = (id: string) => ({ ...apiKey(id), scopes })
    const nothing = { revokedPeers: [], revokedTickets: [], revokedKeys: [] }
    const statement = { sequence: 1, issuedAt: now, expiresAt: now + DAY_MS }
    const sealed = (apiKeys: ApiKey[]) => sealRoster({ ...nothing, ...statement, apiKeys }, seed.privateKey)
    const [empty, one] = [(await sealed([])).byteLength, (await sealed([large('0000')])).byteLength]
    const fitting = Math.floor((MAX_ROSTER_BYTES - empty - 64) / (one - empty))
    const full = Array.from({ length: fitting }, (_, i) => large(String(i).padStart(4, '0')))
    await board.offer('roster', await sealed(full), 'p')
    await expect(authority.addKey(large('more'))).rejects.toEqual(refusal('ROSTER_FULL'))
    await authority.revokeKey('0000')
    await authority.addKey(large('more'))
  })
})
