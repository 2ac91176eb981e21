import { expect, it } from 'vitest'
import { untilAborted } from './until-aborted.ts'

async function* numbers(onReturn: () => void = () => {}): AsyncGenerator<number> {
  try {
    for (let number = 0; number < 3; number++) yield number
  } finally {
    onReturn()
  }
}

it('gives all items and leaves an ended source alone', async () => {
  let returns = 0
  const items: number[] = []
  for await (const item of untilAborted(
    numbers(() => returns++),
    new AbortController().signal
  ))
    items.push(item)
  expect(items).toEqual([0, 1, 2])
  expect(returns).toBe(1)
})

it('ends in the middle of a wait, and does not wait for the source', async () => {
  const stop = new AbortController()
  const stalling = (async function* () {
    yield 1
    await new Promise(() => {})
  })()
  const items = untilAborted(stalling, stop.signal)
  await items.next()
  const next = items.next()
  stop.abort(new Error('enough'))
  await expect(next).rejects.toThrow('enough')
})

it('tells the source when it is left early', async () => {
  const returned = Promise.withResolvers<void>()
  for await (const item of untilAborted(numbers(returned.resolve), undefined)) {
    expect(item).toBe(0)
    break
  }
  await returned.promise
})
