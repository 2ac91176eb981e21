import { afterEach, beforeEach, expect, it } from 'vitest'
import { MeshFixture, until } from './testing/mesh-fixture.ts'

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

it('nodes that joined through the same one know each other, and stay together when it goes', async () => {
  const first = await fixture.node()
  const others = await Promise.all(Array.from({ length: 4 }, () => fixture.node({ join: first.mesh.addresses })))
  await until(() => others.every(({ mesh }) => mesh.connected().length === 4))
  await first.mesh.stop()
  await until(() => others.every(({ mesh }) => mesh.connected().length === 3))
})

it('peers tell each other their zone, role and version', async () => {
  const seed = await fixture.node({ self: { version: '1.2.3', role: 'seed', zone: 'north' } })
  const node = await fixture.node({ join: seed.mesh.addresses })
  await until(() => node.mesh.peers().some(({ zone }) => zone !== 'unknown'))
  expect(node.mesh.peers()).toMatchObject([{ peerId: seed.mesh.peerId, zone: 'north', role: 'seed', version: '1.2.3' }])
})

it('a node comes back to one that was away', async () => {
  const { privateKey, mesh } = await fixture.node()
  const [address = ''] = mesh.addresses
  const node = await fixture.node({ join: [address] })
  await until(() => node.mesh.connected().length === 1)
  await mesh.stop()
  await until(() => node.mesh.connected().length === 0)
  const listen = [address.replace(/\/p2p\/.*/, '')]
  await fixture.node({ privateKey, listen })
  await until(() => node.mesh.connected().length === 1)
})

it('a name with several addresses is looked up again until somebody answers', async () => {
  const seed = await fixture.node()
  const port = Number(/tcp\/(\d+)/.exec(seed.mesh.addresses[0] ?? '')?.[1])
  let lookups = 0
  const resolve = async () => (++lookups < 3 ? [] : [{ address: '127.0.0.1', family: 4 }])
  const node = await fixture.node({ join: [`mesh.test:${port}`], resolve })
  await until(() => node.mesh.connected().length === 1)
  expect(lookups).toBeGreaterThanOrEqual(3)
})
