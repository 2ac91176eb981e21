import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { closeServer, listen } from './listening.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const AT_ONCE = AbortSignal.abort()

it('serves at a port that the system chose', async () => {
  const { server, url } = await listen((_request, response) => response.end('here'), LOOPBACK)
  expect(await (await fetch(url)).text()).toBe('here')
  await closeServer(server, AT_ONCE)
  await expect(fetch(url)).rejects.toThrow()
})

it('is reached through loopback when it listens everywhere', async () => {
  const { server, url } = await listen((_request, response) => response.end(), { host: '0.0.0.0', port: 0 })
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  await closeServer(server, AT_ONCE)
})

it('says that the address is taken', async () => {
  const first = await listen(() => {}, LOOPBACK)
  const taken = { host: '127.0.0.1', port: Number(new URL(first.url).port) }
  await expect(listen(() => {}, taken)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  await closeServer(first.server, AT_ONCE)
})

it('finishes an answer under way when it closes, but not after its time is up', async () => {
  const finishing = Promise.withResolvers<void>()
  const { server, url } = await listen(async (request, response) => {
    response.write('half')
    if (request.url === '/ends') await finishing.promise
    else await new Promise(() => {})
    response.end(' and half')
  }, LOOPBACK)
  const ends = await fetch(`${url}/ends`)
  const hangs = await fetch(`${url}/hangs`)
  const bound = new AbortController()
  const closed = closeServer(server, bound.signal)
  finishing.resolve()
  expect(await ends.text()).toBe('half and half')
  bound.abort()
  await expect(hangs.text()).rejects.toThrow()
  await closed
})

it('does not wait for connections that ask nothing', async () => {
  const { server, url } = await listen((_request, response) => response.end(), LOOPBACK)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  await once(socket, 'connect')
  const gone = once(socket, 'close')
  await closeServer(server, AT_ONCE)
  await gone
})
