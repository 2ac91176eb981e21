import type { NoticeEntry, Notices } from '@layermesh/content'
import type { NoticeHead } from '@layermesh/mesh'
import { type Roster, sealRoster } from '@layermesh/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import { Rosters } from '../roster/rosters.ts'
import { MemoryNotices, makeIdentity } from '../testing/notices.ts'
import { SignedNoticeBoard } from './notice-board.ts'

const NOW = 1_800_000_000_000
const seed = await makeIdentity()
const other = await makeIdentity()
const [peer] = [(await makeIdentity()).peerId]
const entries = { revokedPeers: [], revokedTickets: [], revokedKeys: [], apiKeys: [] }

const roster = (sequence: number, change: Partial<Roster> = {}, by = seed) =>
  sealRoster({ ...entries, sequence, issuedAt: NOW, expiresAt: NOW + 1000, ...change }, by.privateKey)

let signers: string[]
let store: MemoryNotices
const outcomes: unknown[] = []
beforeEach(() => {
  signers = [seed.peerId]
  store = new MemoryNotices()
  outcomes.length = 0
})

async function open(from: Notices = store) {
  const rosters = new Rosters({ isSigner: (signer) => signers.includes(signer), now: () => NOW })
  const board = new SignedNoticeBoard({
    store: from,
    kinds: [rosters.kind],
    onOutcome: ({ outcome, reason }) => outcomes.push(reason ?? outcome),
    now: () => NOW
  })
  await board.load()
  return { board, rosters }
}

const head = (sequence: number, signer = seed.peerId): NoticeHead => ({ kind: 'roster', signer, sequence })

describe('a notice board', () => {
  it('keeps what is newer, has it count, and tells of it', async () => {
    const { board, rosters } = await open()
    const told: NoticeHead[] = []
    board.onChange((changed) => told.push(changed))
    expect(board.wants(head(1))).toBe(true)
    expect(await board.offer('roster', await roster(2, { revokedPeers: [peer] }), 'p')).toBe('new')
    expect(rosters.isRevokedPeer(peer)).toBe(true)
    expect(board.heads()).toEqual([head(2)])
    expect(await board.get('roster', seed.peerId)).toEqual(await roster(2, { revokedPeers: [peer] }))
    expect([board.wants(head(2)), board.wants(head(3))]).toEqual([false, true])
    expect(told).toEqual([head(2)])
  })

  it('never goes back, also after a restart', async () => {
    const { board } = await open()
    await board.offer('roster', await roster(5, { revokedPeers: [peer] }), 'p')
    expect(await board.offer('roster', await roster(4), 'p')).toBe('known')
    const again = await open()
    expect(again.rosters.isRevokedPeer(peer)).toBe(true)
    expect(await again.board.offer('roster', await roster(4), 'p')).toBe('known')
    expect(await again.board.offer('roster', await roster(5), 'p')).toBe('known')
    expect(again.rosters.isRevokedPeer(peer)).toBe(true)
    expect(await again.board.offer('roster', await roster(6), 'p')).toBe('new')
    expect(again.rosters.isRevokedPeer(peer)).toBe(false)
  })

  it('ends at the newest when many come at once', async () => {
    const { board, rosters } = await open()
    const many = await Promise.all([3, 7, 1, 5, 6].map((sequence) => roster(sequence)))
    await Promise.all(many.map((envelope) => board.offer('roster', envelope, 'p')))
    expect(rosters.rosterOf(seed.peerId)?.sequence).toBe(7)
  })

  it('takes no other signer’s for the one that was asked for', async () => {
    const { board } = await open()
    expect(await board.offer('roster', await roster(1, {}, other), 'p', seed.peerId)).toBe('invalid')
    expect(await board.offer('roster', await roster(1, {}, other), 'p', other.peerId)).toBe('refused')
    expect(await board.offer('roster', await roster(1), 'p', other.peerId)).toBe('invalid')
    expect(store.size).toBe(0)
    expect(await board.offer('roster', await roster(1), 'p', seed.peerId)).toBe('new')
  })

  it('refuses strangers, other kinds and the future, and tells broken ones from those', async () => {
    const { board } = await open()
    expect(await board.offer('roster', await roster(1, {}, other), 'p')).toBe('refused')
    expect(await board.offer('song', await roster(1), 'p')).toBe('refused')
    expect(await board.offer('roster', await roster(1, { issuedAt: NOW + 60_001, expiresAt: NOW + 9e6 }), 'p')).toBe(
      'refused'
    )
    const broken = await roster(1)
    // The last byte of a signature is 0 once in a while.
    broken.set([(broken.at(-1) ?? 0) ^ 1], broken.length - 1)
    expect(await board.offer('roster', broken, 'p')).toBe('invalid')
    expect(await board.offer('roster', Buffer.from('garbage'), 'p')).toBe('invalid')
    expect(outcomes).toEqual(['SIGNER_NOT_TRUSTED', 'UNKNOWN_KIND', 'FUTURE', 'SIGNATURE_INVALID', 'RECORD_MALFORMED'])
    expect(store.size).toBe(0)
    expect([board.wants(head(1, other.peerId)), board.wants({ ...head(1), kind: 'song' })]).toEqual([false, false])
  })

  it('takes one that has expired: what it revokes stays revoked', async () => {
    const { board, rosters } = await open()
    const expired = await roster(1, { issuedAt: NOW - 10, expiresAt: NOW - 5, revokedPeers: [peer] })
    expect(await board.offer('roster', expired, 'p')).toBe('new')
    expect(rosters.isRevokedPeer(peer)).toBe(true)
  })

  it('forgets a signer who is trusted no more, and remembers when it is again', async () => {
    const { board, rosters } = await open()
    await board.offer('roster', await roster(9, { revokedPeers: [peer] }), 'p')
    signers = []
    expect([board.heads(), await board.get('roster', seed.peerId), rosters.isRevokedPeer(peer)]).toEqual([
      [],
      undefined,
      false
    ])
    const again = await open()
    expect(again.board.heads()).toEqual([])
    signers = [seed.peerId]
    expect(await again.board.offer('roster', await roster(8), 'p')).toBe('known')
    expect(again.rosters.isRevokedPeer(peer)).toBe(true)
    const third = await open()
    let told = 0
    third.board.onSigners(() => told++)
    await third.board.signersChanged()
    expect(told).toBe(1)
    expect(third.board.heads()).toEqual([head(9)])
  })

  it('passes over what a disk has spoilt', async () => {
    const spoilt: NoticeEntry = { ...head(4), envelope: Buffer.from('spoilt'), keptAt: NOW }
    await store.put(spoilt)
    const { board } = await open()
    expect(board.heads()).toEqual([])
    expect(await board.offer('roster', await roster(5), 'p')).toBe('new')
  })
})
