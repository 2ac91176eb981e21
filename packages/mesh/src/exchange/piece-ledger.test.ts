import { createHash } from 'node:crypto'
import { digestOf, pieceLengthFor } from '@layermesh/oci'
import { openGrowingMap, peerIdOf, rootOfHashes } from '@layermesh/trust'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PieceLedger } from './piece-ledger.ts'

const MIB = 1024 * 1024
const COUNT = 6
const blob = { digest: digestOf(Buffer.from('a blob')), size: COUNT * MIB }
const keys = await Promise.all([1, 2].map((seed) => generateKeyPairFromSeed('Ed25519', Buffer.alloc(32, seed))))
const selves = keys.map((privateKey) => ({ privateKey, peerId: peerIdOf(privateKey) }))
const [self, other] = selves as [(typeof selves)[0], (typeof selves)[0]]
const hashes = Array.from({ length: COUNT }, (_, piece) => createHash('sha256').update(`piece ${piece}`).digest())

/** A ledger that brought in the first pieces itself. */
async function ledgerOf(count: number, owner = self, of = hashes) {
  const ledger = new PieceLedger(blob, owner)
  for (const hash of of.slice(0, count)) ledger.append(hash, true)
  await ledger.sign()
  return ledger
}

/** What a peer that knows `told` hashes gets of it. */
async function toldBy(ledger: PieceLedger, told: number) {
  const growth = ledger.growth(told)
  if (!growth) throw new Error('nothing to tell')
  return { signed: { ...(await openGrowingMap(growth.envelope)), envelope: growth.envelope }, hashes: growth.hashes }
}

describe('a ledger', () => {
  it('vouches for what it knows, by one hash over all', async () => {
    const ledger = await ledgerOf(3)
    const { signed } = await toldBy(ledger, 0)
    expect(signed).toMatchObject({ signer: self.peerId, map: { count: 3, since: 0, length: blob.size } })
    expect(Buffer.from(signed.map.root)).toEqual(Buffer.from(rootOfHashes(...hashes.slice(0, 3))))
  })

  it('vouches for the length before any piece has come', async () => {
    const { signed, hashes: told } = await toldBy(await ledgerOf(0), 0)
    expect(signed.map).toMatchObject({ count: 0, since: 0, pieceLength: pieceLengthFor(blob.size) })
    expect(told).toHaveLength(0)
  })

  it('tells only what the peer lacks, and takes that in behind what it knows', async () => {
    const giver = await ledgerOf(5)
    const taker = new PieceLedger(blob, other)
    const early = await toldBy(await ledgerOf(2), 0)
    expect(taker.merge(early.signed, early.hashes)).toBe(true)
    const late = await toldBy(giver, 2)
    expect(late.hashes).toHaveLength(3 * 32)
    expect(taker.merge(late.signed, late.hashes)).toBe(true)
    expect([taker.count, taker.newest?.signer]).toEqual([5, self.peerId])
    expect(Buffer.from(taker.hash(4) ?? [])).toEqual(hashes[4])
    expect(taker.hash(5)).toBeUndefined()
  })

  it('says from which piece on it brought them in itself', async () => {
    const early = await toldBy(await ledgerOf(2), 0)
    const ledger = new PieceLedger(blob, other)
    ledger.merge(early.signed, early.hashes)
    for (const hash of hashes.slice(2, 4)) ledger.append(hash, true)
    await ledger.sign()
    expect(ledger.newest).toMatchObject({ signer: other.peerId, map: { count: 4, since: 2 } })
  })

  it('does not claim to have brought in what an earlier attempt left, nor what another one brought meanwhile', async () => {
    const resumed = new PieceLedger(blob, self)
    resumed.append(hashes[0] as Buffer, false)
    resumed.append(hashes[1] as Buffer, true)
    await resumed.sign()
    expect(resumed.newest?.map).toMatchObject({ count: 2, since: 1 })
    const overtaken = await ledgerOf(2)
    const ahead = await toldBy(await ledgerOf(4, other), 0)
    overtaken.merge(ahead.signed, ahead.hashes)
    overtaken.append(hashes[4] as Buffer, true)
    await overtaken.sign()
    expect(overtaken.newest?.map).toMatchObject({ count: 5, since: 4 })
  })

  it.each([
    ['another hash of a piece that is known', (of: typeof hashes) => of.with(1, Buffer.alloc(32))],
    ['hashes in another order', (of: typeof hashes) => of.slice(0, 2).reverse().concat(of.slice(2))]
  ])('takes in nothing of a word with %s', async (_what, change) => {
    const ledger = await ledgerOf(3)
    const word = await toldBy(await ledgerOf(5, other, change(hashes)), 0)
    expect(ledger.merge(word.signed, word.hashes)).toBe(false)
    // Also when only the new hashes are sent, which look right.
    const short = await toldBy(await ledgerOf(5, other, change(hashes)), 3)
    expect(ledger.merge(short.signed, short.hashes)).toBe(false)
    expect(ledger.count).toBe(3)
  })

  it('takes in nothing that leaves a gap, is of another blob, or whose hashes are not those signed', async () => {
    const ledger = await ledgerOf(1)
    const gap = await toldBy(await ledgerOf(5, other), 3)
    expect(ledger.merge(gap.signed, gap.hashes)).toBe(false)
    const foreign = new PieceLedger({ ...blob, size: blob.size + 1 }, other)
    await foreign.sign()
    const { signed, hashes: none } = await toldBy(foreign, 0)
    expect(ledger.merge(signed, none)).toBe(false)
    const word = await toldBy(await ledgerOf(4, other), 1)
    expect(ledger.merge(word.signed, Buffer.concat([word.hashes.subarray(0, 64), Buffer.alloc(32)]))).toBe(false)
    expect(ledger.merge(word.signed, new Uint8Array(7 * 32))).toBe(false)
    expect([ledger.count, ledger.signedCount]).toEqual([1, 1])
  })

  it('keeps the word that speaks of most pieces', async () => {
    const ledger = await ledgerOf(4)
    const stale = await toldBy(await ledgerOf(2, other), 0)
    expect(ledger.merge(stale.signed, stale.hashes)).toBe(true)
    expect(ledger.newest).toMatchObject({ signer: self.peerId, map: { count: 4 } })
  })

  it('adopts an ordinary map that agrees, and no other', async () => {
    const ledger = await ledgerOf(2)
    expect(ledger.adopt(Buffer.concat(hashes.with(0, Buffer.alloc(32))))).toBe(false)
    expect(ledger.adopt(Buffer.concat(hashes.slice(1)))).toBe(false)
    expect(ledger.adopt(Buffer.concat(hashes))).toBe(true)
    await ledger.sign()
    expect(ledger.newest?.map).toMatchObject({ count: COUNT, since: COUNT })
  })

  it('agrees at last with any other that heard the same in another order', async () => {
    const words = await Promise.all([0, 1, 2, 3, 4, 5, 6].map(async (count) => toldBy(await ledgerOf(count), 0)))
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }), (order) => {
        const ledger = new PieceLedger(blob, other)
        for (const count of order)
          expect(ledger.merge(words[count]?.signed as never, words[count]?.hashes as never)).toBe(true)
        expect([ledger.count, ledger.signedCount]).toEqual([Math.max(...order), Math.max(...order)])
      })
    )
  })
})
