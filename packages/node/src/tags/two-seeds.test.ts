import type { TagAnswer } from '@layermesh/mesh'
import { digestOf, MEDIA_TYPE, ownRepository, parseTag } from '@layermesh/oci'
import { OPEN_CALLER } from '@layermesh/registry'
import { TrustPolicy } from '@layermesh/trust'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { makeIdentity } from '../testing/notices.ts'
import { callerWho, makeSeed, type TestSeed } from '../testing/tag-seeds.ts'
import { OtherSeeds } from './other-seeds.ts'

const HOUR = 3_600_000
const repository = ownRepository('team/app')
const tag = parseTag('v1')
const author = { caller: OPEN_CALLER, node: 'node' }
const manifest = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  mediaType: MEDIA_TYPE.ociManifest,
  size: text.length
})
const [east, west] = [await makeIdentity(), await makeIdentity()]

let now: number
beforeEach(() => {
  now = 1_800_000_000_000
})

/** Two seeds for one repository, in two datacenters, with a link between them that may be down. */
function twoSeeds() {
  const trust = new TrustPolicy([{ peerId: east.peerId }, { peerId: west.peerId }])
  const link = { up: true, asked: 0 }
  const seeds: TestSeed[] = []
  const make = (self: typeof east, other: typeof east): TestSeed => {
    const ofOther = () => seeds.find(({ peerId }) => peerId === other.peerId) as TestSeed
    const resolve = async (): Promise<TagAnswer> => {
      link.asked++
      const known = await ofOther().records.get(repository, tag)
      return { confirmedAt: now, authoritative: true, ...(known && { envelope: known.envelope }) }
    }
    const records = { take: (...args: Parameters<TestSeed['records']['take']>) => seed.records.take(...args) }
    const connected = () => (link.up ? [other.peerId] : [])
    const others = new OtherSeeds({ peerId: self.peerId, trust, client: { resolve }, records, connected })
    const publish = (_repository: unknown, _tag: unknown, envelope: Uint8Array) => {
      seed.published.push(envelope)
    }
    const seed: TestSeed = makeSeed(self.privateKey, { trust, now: () => now, others, publish })
    seeds.push(seed)
    return seed
  }
  const [a, b] = [make(east, west), make(west, east)]
  /** Both hear all that the other signed so far. */
  const exchange = async () => {
    for (const [from, to] of [
      [a, b],
      [b, a]
    ] as const)
      for (const envelope of from.published) await to.records.take(envelope, from.peerId, 'signer')
  }
  const meaning = async (seed: TestSeed) => (await seed.records.get(repository, tag))?.record
  return { a, b, link, exchange, meaning }
}

describe('two seeds for one repository', () => {
  it('judge a change by what the other one signed, also when they were not told of it', async () => {
    const { a, b } = twoSeeds()
    await a.authority.set(repository, tag, manifest('a'), author)
    const creator = { caller: callerWho('carol', 'create'), node: 'node' }
    await expect(b.authority.set(repository, tag, manifest('b'), creator)).rejects.toMatchObject({ code: 'DENIED' })
    const updater = { caller: callerWho('dave', 'update'), node: 'node' }
    await b.authority.set(repository, tag, manifest('b'), updater)
    await expect(a.authority.set(repository, tag, manifest('c'), creator)).rejects.toMatchObject({ code: 'DENIED' })
    expect(await a.tags.history(repository, tag, { limit: 9 })).toMatchObject([
      { digest: manifest('b').digest, previous: manifest('a').digest, signer: b.peerId },
      { digest: manifest('a').digest, node: 'node', signer: a.peerId }
    ])
  })

  it('do not fight over the sequence: they renew what is due once, not in turn', async () => {
    const { a, b, exchange } = twoSeeds()
    /** Each record is heard once: to check all of them again each time would take most of the test. */
    const exchangeNew = async () => {
      await exchange()
      return a.published.splice(0).length + b.published.splice(0).length
    }
    await a.authority.set(repository, tag, manifest('a'), author)
    await exchangeNew()
    let signed = 0
    for (let minute = 0; minute < 24 * 60; minute += 10) {
      now += 10 * 60_000
      await a.authority.renewOld()
      signed += await exchangeNew()
      await b.authority.renewOld()
      signed += await exchangeNew()
    }
    expect(signed).toBeGreaterThan(0)
    expect(signed).toBeLessThanOrEqual(24)
  })

  it('come to one meaning when both signed at the same moment, and it is the same for all nodes', async () => {
    const { a, b, link, exchange, meaning } = twoSeeds()
    link.up = false
    await a.authority.set(repository, tag, manifest('a'), author)
    await b.authority.set(repository, tag, manifest('b'), author)
    expect((await meaning(a))?.sequence).toBe((await meaning(b))?.sequence)
    await exchange()
    expect(await meaning(a)).toEqual(await meaning(b))
    expect([a.refused, b.refused]).toEqual([[], []])
  })

  it('never undo a change by renewals of a seed that did not hear of it', async () => {
    const { a, b, link, exchange, meaning } = twoSeeds()
    await b.authority.set(repository, tag, manifest('old'), author)
    await exchange()
    link.up = false
    await a.authority.set(repository, tag, manifest('new'), author)
    for (let hour = 0; hour < 300; hour++) {
      now += HOUR
      await b.authority.current(repository, tag)
    }
    await exchange()
    expect(await meaning(b)).toMatchObject(manifest('new'))
    expect(await meaning(a)).toMatchObject(manifest('new'))
  })

  it('agree in the end, whatever happened while they could not hear each other', async () => {
    const step = fc.record({
      at: fc.constantFrom('a', 'b'),
      act: fc.oneof(fc.constantFrom('x', 'y', 'z'), fc.constantFrom('renew', 'remove', 'up', 'down', 'exchange'))
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { a, b, link, exchange, meaning } = twoSeeds()
        for (const { at, act } of steps) {
          const seed = at === 'a' ? a : b
          now += HOUR
          if (act === 'up' || act === 'down') link.up = act === 'up'
          else if (act === 'exchange') await exchange()
          else if (act === 'renew') await seed.authority.current(repository, tag)
          else if (act === 'remove') await seed.authority.remove(repository, tag, author)
          else await seed.authority.set(repository, tag, manifest(act), author)
        }
        await exchange()
        await exchange()
        expect(await meaning(a)).toEqual(await meaning(b))
      }),
      { numRuns: 40 }
    )
  })

  it('ask each other once in a while for what clients ask, and not at all while one does not answer', async () => {
    const { a, link } = twoSeeds()
    let asked = 0
    const trust = new TrustPolicy([{ peerId: east.peerId }, { peerId: west.peerId }])
    const others = new OtherSeeds({
      peerId: east.peerId,
      trust,
      client: {
        resolve: async () => {
          asked++
          throw new Error('no answer')
        }
      },
      records: a.records,
      connected: () => [west.peerId]
    })
    for (let i = 0; i < 5; i++) await others.refresh(repository, tag)
    for (let i = 0; i < 5; i++) await others.ask(repository, parseTag(`v${i}`))
    expect([asked, link.asked]).toEqual([1, 0])
  })
})
