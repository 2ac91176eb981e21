import { expect, it } from 'vitest'
import { Slots } from './slots.ts'

const { signal } = new AbortController()

it('lets so many in at one time, the others in their order', async () => {
  const slots = new Slots(2)
  const order: string[] = []
  const [first, second] = [await slots.take(signal), await slots.take(signal)]
  const third = slots.take(signal).then((give) => {
    order.push('third')
    return give
  })
  const fourth = slots.take(signal).then((give) => {
    order.push('fourth')
    return give
  })
  await Promise.resolve()
  expect(order).toEqual([])
  first()
  first()
  const giveThird = await third
  expect(order).toEqual(['third'])
  giveThird()
  const giveFourth = await fourth
  second()
  giveFourth()
  for (const give of [await slots.take(signal), await slots.take(signal)]) give()
})

it('forgets who does not want to wait any longer', async () => {
  const slots = new Slots(1)
  const give = await slots.take(signal)
  const impatient = new AbortController()
  const waiting = slots.take(impatient.signal)
  impatient.abort(new Error('gone'))
  await expect(waiting).rejects.toThrow('gone')
  await expect(slots.take(impatient.signal)).rejects.toThrow('gone')
  give()
  expect(await slots.take(signal)).toBeTypeOf('function')
})
