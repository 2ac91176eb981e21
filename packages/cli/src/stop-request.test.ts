import { EventEmitter } from 'node:events'
import { expect, it } from 'vitest'
import { StopRequest } from './stop-request.ts'

const NEVER_MS = 60_000

class FakeProcess extends EventEmitter {
  readonly exited: number[] = []
  readonly gone = Promise.withResolvers<number>()

  exit(code: number): void {
    this.exited.push(code)
    this.gone.resolve(code)
  }
}

it('tells of the first signal and ends nothing', async () => {
  const process = new FakeProcess()
  const stop = new StopRequest(process, NEVER_MS, { onTerminal: true })
  process.emit('SIGTERM', 'SIGTERM')
  expect(await stop.requested).toBe('SIGTERM')
  expect(process.exited).toEqual([])
})

it('ends at once at the second signal, of whatever kind', () => {
  const process = new FakeProcess()
  new StopRequest(process, NEVER_MS, { onTerminal: true })
  process.emit('SIGTERM', 'SIGTERM')
  process.emit('SIGINT', 'SIGINT')
  expect(process.exited).toEqual([1])
})

it('ends when its time is up, also when nobody waits for the first signal', async () => {
  const process = new FakeProcess()
  new StopRequest(process, 1, { onTerminal: true })
  process.emit('SIGINT', 'SIGINT')
  const keepAlive = setTimeout(() => {}, NEVER_MS)
  expect(await process.gone.promise).toBe(0)
  clearTimeout(keepAlive)
})

it('takes SIGHUP for the end of the terminal, where there is one', async () => {
  const process = new FakeProcess()
  const stop = new StopRequest(process, NEVER_MS, { onTerminal: true })
  process.emit('SIGHUP', 'SIGHUP')
  expect(await stop.requested).toBe('SIGHUP')
  const service = new FakeProcess()
  new StopRequest(service, NEVER_MS, { onTerminal: false })
  expect(service.listenerCount('SIGHUP')).toBe(0)
})
