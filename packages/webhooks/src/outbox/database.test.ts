import { Level } from 'level'
import { expect, it, onTestFinished } from 'vitest'
import { temporaryDirectory } from '../testing/fixture.ts'
import { OutboxDatabase } from './database.ts'

const DURABLE = { durable: true }
const put = (key: string) => [{ type: 'put', key, value: key }] as const

async function open() {
  const level = new Level<string, string>(await temporaryDirectory())
  const batches: { readonly keys: string[]; readonly sync: boolean }[] = []
  let failing = 0
  const write = level.batch.bind(level) as (changes: unknown, options: unknown) => Promise<void>
  level.batch = (async (changes: { key: string }[], options: { sync: boolean }) => {
    batches.push({ keys: changes.map(({ key }) => key), sync: options.sync })
    if (failing-- > 0) throw new Error('IO error')
    await write(changes, options)
  }) as unknown as typeof level.batch
  const database = await OutboxDatabase.use(level, 'test')
  onTestFinished(() => database.close())
  const fail = () => {
    failing = 1
  }
  return { database, level, batches, fail }
}

it('writes at once what came in while it was writing', async () => {
  const { database, batches } = await open()
  const writes = ['a', 'b', 'c', 'd'].map((key) => database.write(put(key), { durable: key === 'c' }))
  await Promise.all(writes)
  expect(batches).toEqual([
    { keys: ['a'], sync: false },
    { keys: ['b', 'c', 'd'], sync: true }
  ])
})

it('tells all whose changes were in a batch that failed, and opens the database anew for the next', async () => {
  const { database, level, batches, fail } = await open()
  fail()
  const reopened = new Promise((resolve) => level.once('closed', resolve))
  const [failed, written] = [database.write(put('a'), DURABLE), database.write(put('b'), DURABLE)]
  await expect(failed).rejects.toMatchObject({ code: 'OUTBOX_FAILED' })
  await written
  await reopened
  expect(batches).toHaveLength(2)
  expect([await database.get('a'), await database.get('b')]).toEqual([undefined, 'b'])
})

it('writes what was handed in before it closes, and nothing after', async () => {
  const { database, level } = await open()
  const writes = ['a', 'b', 'c'].map((key) => database.write(put(key), DURABLE))
  await database.close()
  await Promise.all(writes)
  await expect(database.write(put('d'), DURABLE)).rejects.toMatchObject({ code: 'CLOSED' })
  await level.open()
  expect(await level.keys().all()).toEqual(['a', 'b', 'c'])
})

it('refuses an outbox that another has open', async () => {
  const directory = await temporaryDirectory()
  const database = await OutboxDatabase.open(directory)
  onTestFinished(() => database.close())
  await expect(OutboxDatabase.open(directory)).rejects.toMatchObject({ code: 'OUTBOX_IN_USE' })
})
