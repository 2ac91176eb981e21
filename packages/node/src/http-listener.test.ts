import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { openHttpListener } from './http-listener.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }

it('serves at a port that the system chose', async () => {
  const listener = await openHttpListener((_request, response) => response.end('here'), LOOPBACK)
  expect(await (await fetch(listener.url)).text()).toBe('here')
  await listener.close()
  await expect(fetch(listener.url)).rejects.toThrow()
})

it('is reached through loopback when it listens everywhere', async () => {
  const listener = await openHttpListener((_request, response) => response.end(), { host: '0.0.0.0', port: 0 })
  expect(listener.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  await listener.close()
})

it('says that the address is taken, or not to be had', async () => {
  const first = await openHttpListener(() => {}, LOOPBACK)
  const taken = { host: '127.0.0.1', port: Number(new URL(first.url).port) }
  await expect(openHttpListener(() => {}, taken)).rejects.toMatchObject({ code: 'ADDRESS_IN_USE' })
  await expect(openHttpListener(() => {}, { host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
    code: 'ADDRESS_UNUSABLE'
  })
  await first.close()
})

it('finishes an answer under way when it closes, but not after its time is up', async () => {
  const finishing = Promise.withResolvers<void>()
  const listener = await openHttpListener(async (request, response) => {
    response.write('half')
    if (request.url === '/ends') await finishing.promise
    else await new Promise(() => {})
    response.end(' and half')
  }, LOOPBACK)
  const ends = await fetch(`${listener.url}/ends`)
  const hangs = await fetch(`${listener.url}/hangs`)
  const bound = new AbortController()
  const closed = listener.close(bound.signal)
  finishing.resolve()
  expect(await ends.text()).toBe('half and half')
  bound.abort()
  await expect(hangs.text()).rejects.toThrow()
  await closed
})

it('does not wait for connections that ask nothing', async () => {
  const listener = await openHttpListener((_request, response) => response.end(), LOOPBACK)
  const socket = connect(Number(new URL(listener.url).port), '127.0.0.1')
  await once(socket, 'connect')
  const gone = once(socket, 'close')
  await listener.close()
  await gone
})
