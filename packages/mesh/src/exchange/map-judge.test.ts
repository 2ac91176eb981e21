import { setTimeout as wait } from 'node:timers/promises'
import type { PartialBlob } from '@layermesh/content'
import { digestOf, pieceCount } from '@layermesh/oci'
import { peerIdOf } from '@layermesh/trust'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { LIMITS } from '../limits.ts'
import { FakeOrigin } from '../testing/fake-origin.ts'
import { Download } from './download.ts'
import { MapJudge } from './map-judge.ts'
import { PieceLedger } from './piece-ledger.ts'

const SIZE = 3 * 1024 * 1024
const REGISTRY = 'registry.example'
const [own, other] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')])
const [self, gateway] = [peerIdOf(own), peerIdOf(other)]
const digest = digestOf(Buffer.from('a blob'))

let nowMs = 1_000_000
beforeEach(() => {
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
})
afterEach(() => vi.restoreAllMocks())

async function pass(ms: number): Promise<void> {
  nowMs += ms
  // The cache looks at the clock once in a millisecond.
  await wait(5)
}

function makeJudge() {
  const bans: string[] = []
  const failures: string[] = []
  let right = true
  const judge = new MapJudge({
    self,
    content: {
      downloads: {
        whole: async () => {
          if (!right) throw new Error('failed', { cause: { code: 'DIGEST_MISMATCH' } })
        }
      },
      pieceMaps: { put: async () => {}, get: async () => undefined, delete: async () => {} }
    } as never,
    directory: { ban: (peerId) => bans.push(peerId) },
    observer: { pieceFailed: ({ peerId }) => failures.push(peerId) },
    mayVouch: () => false,
    wrong: () => {}
  })
  return {
    judge,
    bans,
    failures,
    /** A blob that came by the word of whoever has this key. */
    came: async (how: 'right' | 'wrong', by: PrivateKey) => {
      right = how === 'right'
      await judge.judge(await downloadBy(by))
    },
    distrusts: (registry = REGISTRY) => judge.distrusts(gateway, registry)
  }
}

async function downloadBy(key: PrivateKey): Promise<Download> {
  const begin = async () => ({ size: SIZE }) as PartialBlob
  const download = new Download(digest, { origin: new FakeOrigin(undefined, { name: REGISTRY }) }, begin, {
    peerId: self,
    privateKey: own
  })
  await download.beginEntering(SIZE)
  const ledger = new PieceLedger({ digest, size: SIZE }, { peerId: peerIdOf(key), privateKey: key })
  for (let piece = 0; piece < pieceCount(SIZE); piece++) ledger.append(Buffer.alloc(32, piece), true)
  await ledger.sign()
  const growth = ledger.growth(0)
  if (ledger.newest && growth) download.ledger?.merge(ledger.newest, growth.hashes)
  return download
}

it('a gateway that brought in a wrong blob is not believed in what comes from that registry, for a moment', async () => {
  const { came, distrusts, bans, failures, judge } = makeJudge()
  await came('wrong', other)
  expect([distrusts(), distrusts('elsewhere.example'), judge.doubts(digest)]).toEqual([true, false, true])
  expect([bans, failures]).toEqual([[], [gateway]])
  await pass(LIMITS.doubtMs + 1)
  expect([distrusts(), judge.doubts(digest)]).toEqual([false, false])
})

it('it is believed again at once when the registry gives this node the same blob wrong', async () => {
  const { came, distrusts, judge, failures } = makeJudge()
  await came('wrong', other)
  await came('wrong', own)
  expect([distrusts(), judge.doubts(digest), failures]).toEqual([false, true, [gateway]])
})

it('it is not believed for longer when the blob comes right at another time', async () => {
  const { came, distrusts } = makeJudge()
  await came('wrong', other)
  await came('right', own)
  await pass(LIMITS.doubtMs + 1)
  expect(distrusts()).toBe(true)
  await pass(LIMITS.distrustMs)
  expect(distrusts()).toBe(false)
})

it('who once lied is not believed sooner because another blob is wrong', async () => {
  const { came, distrusts } = makeJudge()
  await came('wrong', other)
  await came('right', own)
  await came('wrong', other)
  await pass(LIMITS.doubtMs + 1)
  expect(distrusts()).toBe(true)
})

it('what came right is held against nobody', async () => {
  const { came, distrusts, judge, failures, bans } = makeJudge()
  await came('right', other)
  expect([distrusts(), judge.doubts(digest), failures, bans]).toEqual([false, false, [], []])
})
