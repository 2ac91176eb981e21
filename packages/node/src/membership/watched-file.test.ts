import { expect, it } from 'vitest'
import { WatchedFile } from './watched-file.ts'

it('takes what a file holds when it changes, and keeps what it held while it can not be used', async () => {
  let text: string | Error = 'one'
  const taken: string[] = []
  const errors: string[] = []
  const file = await WatchedFile.open<string>({
    what: 'secret',
    read: async () => {
      if (typeof text !== 'string') throw text
      return text
    },
    isSame: (one, other) => one === other,
    onChange: (value) => taken.push(value),
    log: { info: () => {}, error: (_fields: object, message: string) => errors.push(message) } as never
  })
  await file.check()
  expect([file.value, taken]).toEqual(['one', []])
  text = 'two'
  await file.check()
  text = new Error('half written')
  await file.check()
  await file.check()
  expect([file.value, taken, errors]).toEqual([
    'two',
    ['two'],
    ['the secret can not be used; what was there before counts on']
  ])
  text = 'three'
  await file.check()
  expect(file.value).toBe('three')
})

it('looks again and again by itself', async () => {
  let reads = 0
  const { promise, resolve } = Promise.withResolvers<number>()
  const file = await WatchedFile.open<number>({
    what: 'count',
    read: async () => ++reads,
    isSame: (one, other) => one === other,
    onChange: (value) => value === 3 && resolve(value),
    log: { info: () => {}, error: () => {} } as never,
    everyMs: 1
  })
  file.start()
  expect(await promise).toBe(3)
  file.stop()
})

it('can not begin with what can not be used', async () => {
  const read = () => Promise.reject(new Error('none'))
  const init = { what: 'x', read, isSame: () => true, onChange: () => {}, log: {} as never }
  await expect(WatchedFile.open(init)).rejects.toThrow('none')
})
