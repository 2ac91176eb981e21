import { digestOf } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { LIMITS } from '../limits.ts'
import { type SearchComponents, type Supply, searchPeers, type Wanted } from './search.ts'

const DIGEST = digestOf(Buffer.from('wanted'))
const STRANGERS = ['provider']
const CONNECTED = ['seed', 'neighbour']
const SIGNAL = new AbortController().signal

/** Searches; tells who was asked, and which pauses were made before, in their order. */
async function search(
  wanted: Partial<Wanted>,
  components: Partial<SearchComponents> = {},
  signal = SIGNAL
): Promise<(string | number)[]> {
  const story: (string | number)[] = []
  const told: Wanted = {
    digest: DIGEST,
    likely: ['likely'],
    asked: new Set(),
    supply: () => 'none',
    ...wanted,
    ask: (peerId, deadline) => {
      story.push(peerId)
      return wanted.ask?.(peerId, deadline) ?? Promise.resolve([])
    }
  }
  const mesh: SearchComponents = {
    connected: () => CONNECTED,
    seeds: () => ['seed', 'distant seed'],
    holders: () => ['holder'],
    findProviders: async function* () {
      yield* STRANGERS
    },
    random: () => 0,
    pause: async (ms) => {
      story.push(ms)
    },
    ...components
  }
  await searchPeers(told, mesh, { findWithinMs: 60_000 }, signal)
  return story
}

const never = () => new Promise<never>(() => {})

it('asks those that are likely to have it first, and after a moment others, also those that the DHT names', async () => {
  const answered = Promise.withResolvers<string[]>()
  const ask = (peerId: string) => {
    if (peerId === 'provider') answered.resolve([])
    return answered.promise
  }
  const story = await search({ ask })
  expect(story).toEqual(['likely', 'seed', 'holder', LIMITS.searchHeadStartMs, 'neighbour', 'provider'])
})

it('does not wait for that moment when all of them have answered', async () => {
  const pause = (ms: number) => (ms === LIMITS.searchHeadStartMs ? never() : Promise.resolve())
  expect(await search({}, { pause })).toEqual(['likely', 'seed', 'holder', 'neighbour', 'provider'])
})

it('asks nobody else when those have settled it', async () => {
  let settled = false
  const ask = async (peerId: string) => {
    await null
    settled ||= peerId === 'seed'
    return ['named']
  }
  expect(await search({ ask, supply: () => (settled ? 'settled' : 'none') })).toEqual([
    'likely',
    'seed',
    'holder',
    LIMITS.searchHeadStartMs
  ])
})

it('asks the DHT later when the blob is coming already', async () => {
  expect(await search({ supply: () => 'some' })).toEqual([
    'likely',
    'seed',
    'holder',
    LIMITS.searchHeadStartMs,
    'neighbour',
    LIMITS.walkDelayMs,
    'provider'
  ])
})

it('does not ask the DHT when it comes from enough peers by then', async () => {
  let supply: Supply = 'some'
  const pause = async (ms: number) => {
    if (ms === LIMITS.walkDelayMs) supply = 'enough'
  }
  const story = await search({ supply: () => supply }, { pause })
  expect(story).toEqual(['likely', 'seed', 'holder', 'neighbour'])
})

it('asks at once those that others name, each once', async () => {
  const ask = async (peerId: string) => (peerId === 'seed' ? ['named', 'holder'] : [])
  const story = await search({ ask })
  expect(story.filter((each) => typeof each === 'string')).toEqual([
    'likely',
    'seed',
    'holder',
    'named',
    'neighbour',
    'provider'
  ])
})

it('waits for the peers that were asked when the DHT fails', async () => {
  const answered: string[] = []
  const { promise: dhtFailed, reject: failDht } = Promise.withResolvers<never>()
  const ask = async (peerId: string) => {
    await dhtFailed.catch(() => new Promise((resolve) => setImmediate(resolve)))
    answered.push(peerId)
    return []
  }
  // biome-ignore lint/correctness/useYield: it fails before it finds anybody
  const findProviders = async function* () {
    failDht(new Error('no space left on device'))
    await dhtFailed
  }
  await search({ ask }, { findProviders })
  expect(answered).toEqual(['likely', 'seed', 'holder', 'neighbour'])
})
