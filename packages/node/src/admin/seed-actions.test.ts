import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatSeedSet, type SeedSet, sealSeedSet, TrustPolicy } from '@layermesh/trust'
import { expect, it, onTestFinished } from 'vitest'
import { SignedNoticeBoard } from '../notices/notice-board.ts'
import { offerSeedSetFile } from '../seed-set/seed-set-file.ts'
import { SeedSets } from '../seed-set/seed-sets.ts'
import { MemoryNotices, makeIdentity } from '../testing/notices.ts'
import { seedActions } from './seed-actions.ts'

const [root, stranger, seed] = [await makeIdentity(), await makeIdentity(), await makeIdentity()]
const signal = AbortSignal.timeout(60_000)

async function seal(sequence: number, change: Partial<SeedSet> = {}, by = root): Promise<Uint8Array> {
  const issuedAt = Date.now()
  const seeds = [{ peerId: seed.peerId, repositories: ['**'] }]
  const set = { sequence, issuedAt, expiresAt: issuedAt + 3_600_000, seeds, revoked: [], ...change }
  return await sealSeedSet(set, by.privateKey)
}

function makeNode() {
  const trust = new TrustPolicy([])
  const seedSets = new SeedSets({ root: root.peerId, trust })
  const store = new MemoryNotices()
  const board = new SignedNoticeBoard({ store, kinds: [seedSets.kind], onOutcome: () => {}, now: Date.now })
  const [show, publish] = seedActions({ seedSets, board })
  if (!show || !publish) throw new Error('an action is missing')
  return {
    trust,
    board,
    show: () => show.run({}, signal),
    publish: async (set: Uint8Array | string) =>
      publish.run({ envelope: typeof set === 'string' ? set : formatSeedSet(set) }, signal)
  }
}

it('publishes a set once, shows it, and says what is wrong with another', async () => {
  const { trust, show, publish } = makeNode()
  await expect(show()).rejects.toMatchObject({ status: 404, code: 'NO_SEED_SET' })
  const set = await seal(2)
  expect(await publish(set)).toEqual({ sequence: 2, outcome: 'new' })
  expect(await publish(set)).toEqual({ sequence: 2, outcome: 'known' })
  expect(await show()).toEqual({ root: root.peerId, envelope: formatSeedSet(set), trusted: true })
  expect(trust.signers()).toEqual([seed.peerId])

  await expect(publish(await seal(1))).rejects.toMatchObject({ status: 409, code: 'SEED_SET_OLD' })
  await expect(publish(await seal(2, { revoked: [stranger.peerId] }))).rejects.toMatchObject({
    status: 409,
    message: expect.stringMatching(/^a set of sequence 2 counts here already, this one has 2; sign one with --previous/)
  })
  await expect(publish(await seal(3, {}, stranger))).rejects.toMatchObject({ status: 403, code: 'SIGNER_NOT_TRUSTED' })
  const future = await seal(3, { issuedAt: Date.now() + 120_000, expiresAt: Date.now() + 3_600_000 })
  await expect(publish(future)).rejects.toMatchObject({ status: 409, message: expect.stringMatching(/clock/) })
  await expect(publish('AAAA')).rejects.toMatchObject({ status: 400, code: 'RECORD_MALFORMED' })
  expect(trust.signers()).toEqual([seed.peerId])
})

it('says what to configure where no root is', async () => {
  for (const action of seedActions({ seedSets: undefined, board: { offer: async () => 'refused' } })) {
    await expect(action.run({ envelope: '' }, signal)).rejects.toMatchObject({
      status: 409,
      message: expect.stringMatching(/seedSet\.root/)
    })
  }
})

it('begins with the set of a file, unless a newer one is here, and refuses a file that is none', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'layermesh-set-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'set')
  const { trust, board, publish } = makeNode()
  await writeFile(file, `${formatSeedSet(await seal(1))}\n`)
  await offerSeedSetFile(file, board)
  expect(trust.signers()).toEqual([seed.peerId])
  await publish(await seal(2, { seeds: [{ peerId: stranger.peerId, repositories: ['**'] }] }))
  await offerSeedSetFile(file, board)
  expect(trust.signers()).toEqual([stranger.peerId])

  await writeFile(file, formatSeedSet(await seal(9, {}, stranger)))
  await expect(offerSeedSetFile(file, board)).rejects.toThrow(/no seed set that the key seedSet\.root signed/)
  await writeFile(file, 'not one')
  await expect(offerSeedSetFile(file, board)).rejects.toMatchObject({ code: 'INVALID_VALUE' })
  await expect(offerSeedSetFile(join(directory, 'none'), board)).rejects.toThrow(/ENOENT/)
})
