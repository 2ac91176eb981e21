import { digestOf } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { FakeOrigin } from '../testing/fake-origin.ts'
import { MeshFixture, readAll, someBytes, type TestNode, until } from '../testing/mesh-fixture.ts'

const MIB = 1024 * 1024
const SIZE = 12 * MIB + 77
const bytes = someBytes(SIZE)
const digest = digestOf(bytes)
const soon = () => AbortSignal.timeout(120_000)

vi.setConfig({ testTimeout: 150_000 })

let fixture: MeshFixture
beforeEach(() => {
  fixture = new MeshFixture()
})
afterEach(() => fixture[Symbol.asyncDispose]())

async function read({ mesh }: TestNode, origin: FakeOrigin): Promise<Buffer> {
  return readAll(await mesh.fetch(digest, { size: SIZE, origin }, soon()))
}

/** What was held against others; not that one was silent for seconds, as all are while a process is starved. */
function blame(nodes: readonly TestNode[]): unknown[] {
  const bans = nodes.flatMap(({ observer }) => observer.bans).filter(({ reason }) => reason !== 'silent')
  return [...nodes.flatMap(({ observer }) => observer.failures), ...bans]
}

it('two that bring a blob in unaware of each other become one when a third knows both', async () => {
  const [left, right] = [await fixture.node(), await fixture.node()]
  const oneYielded = Promise.withResolvers<void>()
  const origins = [left, right].map(() => new FakeOrigin(bytes, { pause: { at: 2 * MIB, until: oneYielded.promise } }))
  const reading = [left, right].map((node, index) => read(node, origins[index] as FakeOrigin))
  await until(() => origins.every(({ givenBytes }) => givenBytes === 2 * MIB))
  const third = await fixture.node({ join: [left, right].flatMap(({ mesh }) => mesh.addresses) })
  await until(() => third.mesh.connected().length === 2)
  reading.push(read(third, new FakeOrigin(bytes, { answersAfter: oneYielded.promise })))
  await until(() => origins.some(({ openBodies }) => openBodies === 0))
  oneYielded.resolve()
  for (const each of await Promise.all(reading)) expect(each.equals(bytes)).toBe(true)
  expect(blame([left, right, third])).toEqual([])
})

it('a node that comes back in mid-blob goes on with what it has and what others vouch for', async () => {
  const gateway = await fixture.node()
  const goOn = Promise.withResolvers<void>()
  const origin = new FakeOrigin(bytes, { pause: { at: 6 * MIB, until: goOn.promise } })
  const reading = read(gateway, origin)
  await until(() => origin.givenBytes === 6 * MIB)
  const unused = new FakeOrigin(bytes, { answersAfter: goOn.promise })
  const first = await fixture.node({ join: gateway.mesh.addresses })
  await until(() => first.mesh.connected().length === 1)
  const broken = read(first, unused).catch((error: unknown) => error)
  await until(() => (first.mesh.transferOf(digest)?.heldBytes ?? 0) >= 3 * MIB)
  await first.mesh.stop()
  expect(await broken).toMatchObject({ code: 'DOWNLOAD_FAILED' })
  const { content, privateKey } = first
  const again = await fixture.node({ join: gateway.mesh.addresses, content, privateKey })
  await until(() => again.mesh.connected().length === 1)
  const rest = read(again, unused)
  await until(() => again.mesh.transferOf(digest) !== undefined)
  goOn.resolve()
  expect((await rest).equals(bytes)).toBe(true)
  expect((await reading).equals(bytes)).toBe(true)
  expect(again.observer.receivedBytes).toBeLessThanOrEqual(SIZE - 3 * MIB)
  expect(blame([gateway, again])).toEqual([])
})

it('an origin that falls silent in mid-blob is left for that of another node', async () => {
  const first = await fixture.node()
  const others = [
    await fixture.node({ join: first.mesh.addresses }),
    await fixture.node({ join: first.mesh.addresses })
  ]
  await until(() => [first, ...others].every(({ mesh }) => mesh.connected().length === 2))
  const silent = new FakeOrigin(bytes, { silentAt: 5 * MIB })
  const reading = [read(first, silent)]
  await until(() => silent.givenBytes === 5 * MIB)
  const origins = others.map(() => new FakeOrigin(bytes))
  reading.push(...others.map((node, index) => read(node, origins[index] as FakeOrigin)))
  for (const each of await Promise.all(reading)) expect(each.equals(bytes)).toBe(true)
  expect(silent.givenBytes).toBe(5 * MIB)
  expect(origins.some(({ starts }) => starts.length > 0)).toBe(true)
  expect(blame([first, ...others])).toEqual([])
})
