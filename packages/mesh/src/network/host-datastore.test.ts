import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LevelDatastore } from 'datastore-level'
import { Key, type Query } from 'interface-datastore'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { LIMITS } from '../limits.ts'
import { HostDatastore } from './host-datastore.ts'

const peer = (name: string) => new Key(`/peers/${name}`)
const record = new Key('/dht/record/a')
const bytes = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

let directory: string
let datastore: HostDatastore

async function open(quota = {}): Promise<HostDatastore> {
  const opened = new HostDatastore(directory, quota)
  await opened.open()
  onTestFinished(() => opened.close())
  return opened
}

async function valuesOf(store: LevelDatastore, query: Query): Promise<string[]> {
  const values: string[] = []
  for await (const { value } of store.query(query)) values.push(text(value))
  return values
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-datastore-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  datastore = await open()
})

describe.each([
  ['a peer', peer('one')],
  ['a DHT record', record]
])('%s', (_what, key) => {
  it('is there after it was put, also after a restart, until it is deleted', async () => {
    await expect(datastore.get(key)).rejects.toMatchObject({ name: 'NotFoundError' })
    await datastore.put(key, bytes('1'))
    await datastore.put(key, bytes('2'))
    expect([text(await datastore.get(key)), await datastore.has(key)]).toEqual(['2', true])
    await datastore.close()

    const restarted = await open()
    expect(text(await restarted.get(key))).toBe('2')
    await restarted.delete(key)
    expect(await restarted.has(key)).toBe(false)
    await restarted.close()
    expect(await (await open()).has(key)).toBe(false)
  })
})

it('finds peers by what a query asks for, and only peers', async () => {
  for (const name of ['3', '1', '2', '4']) await datastore.put(peer(name), bytes(name))
  await datastore.put(record, bytes('a record'))
  const query: Query = {
    prefix: '/peers/',
    filters: [({ key }) => key.toString() !== '/peers/4'],
    orders: [(one, other) => (one.key.toString() < other.key.toString() ? -1 : 1)]
  }
  expect(await valuesOf(datastore, query)).toEqual(['1', '2', '3'])
  expect(await valuesOf(datastore, { ...query, offset: 1, limit: 1 })).toEqual(['2'])
  expect(await valuesOf(datastore, { prefix: '/dht/' })).toEqual(['a record'])
})

it('remembers so many peers and no more, on disk too', async () => {
  for (let index = 0; index <= LIMITS.knownPeers; index++) await datastore.put(peer(String(index)), bytes(''))
  expect([await datastore.has(peer('0')), await datastore.has(peer('1'))]).toEqual([false, true])
  await datastore.close()
  const onDisk = new LevelDatastore(directory)
  await onDisk.open()
  onTestFinished(() => onDisk.close())
  expect(await valuesOf(onDisk, { prefix: '/peers/' })).toHaveLength(LIMITS.knownPeers)
})

describe('claims to have a blob', () => {
  const claim = (cid: string, peer: string) => new Key(`/dht/provider/${cid}/${peer}`)
  const value = Buffer.from([1])

  it('are kept up to a number for each peer and for all, also after a restart', async () => {
    const quota = { perPeer: 2, total: 3 }
    await datastore.close()
    const first = await open(quota)
    await first.put(claim('a', 'one'), value)
    await first.put(claim('b', 'one'), value)
    await first.put(claim('b', 'one'), value)
    await expect(first.put(claim('c', 'one'), value)).rejects.toThrow(/too many/)
    await first.close()
    const second = await open(quota)
    await expect(second.put(claim('c', 'one'), value)).rejects.toThrow(/too many/)
    await second.put(claim('a', 'two'), value)
    await expect(second.put(claim('b', 'two'), value)).rejects.toThrow(/too many/)
    await second.delete(claim('a', 'one'))
    await second.delete(claim('never', 'one'))
    await second.put(claim('b', 'two'), value)
    expect(await second.has(claim('a', 'one'))).toBe(false)
  })

  it('count once when they are made many times at once', async () => {
    await datastore.close()
    const first = await open({ perPeer: 2, total: 3 })
    await Promise.all(Array.from({ length: 5 }, () => first.put(claim('a', 'one'), value)))
    await first.put(claim('b', 'one'), value)
    await Promise.all(Array.from({ length: 5 }, () => first.delete(claim('a', 'one'))))
    await first.put(claim('c', 'one'), value)
    await expect(first.put(claim('d', 'one'), value)).rejects.toThrow(/too many/)
  })

  it('with a key that is too long are refused', async () => {
    await expect(datastore.put(claim('a'.repeat(1_000), 'one'), value)).rejects.toThrow(/too long/)
  })
})
