import { getEventListeners } from 'node:events'
import { expect, it } from 'vitest'
import { unlessAborted } from './unless-aborted.ts'

const NEVER = new Promise<never>(() => {})

it('gives what the promise gives, and leaves no listener', async () => {
  const { signal } = new AbortController()
  const failure = new Error('it failed')
  await expect(unlessAborted(Promise.resolve(1), signal)).resolves.toBe(1)
  await expect(unlessAborted(Promise.reject(failure), signal)).rejects.toBe(failure)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

it('waits without a signal', async () => {
  await expect(unlessAborted(Promise.resolve(1), undefined)).resolves.toBe(1)
})

it('rejects with the reason of the signal once that aborts, and at once if it has', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const waiting = unlessAborted(NEVER, controller.signal)
  controller.abort(reason)
  await expect(waiting).rejects.toBe(reason)
  await expect(unlessAborted(Promise.resolve(1), controller.signal)).rejects.toBe(reason)
})

it('ignores how the promise fails after that', async () => {
  const controller = new AbortController()
  const late = Promise.withResolvers<never>()
  const waiting = unlessAborted(late.promise, controller.signal)
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  late.reject(new Error('too late'))
  // An unhandled rejection would be told before the next turn, and fail the run.
  await new Promise((resolve) => setImmediate(resolve))
})
