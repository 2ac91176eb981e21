import { expect, test } from 'vitest'
import { eventually, HANG_MS, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { attempts, UnclearError } from './support/attempts.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'

/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB
/** A pull without a source is given up after 20 s. */
const GIVE_UP_MS = 20_000
/** A machine on which a seed takes longer to come back shows nothing of pulls that wait for it. */
const BACK_WITHIN_MS = GIVE_UP_MS / 2

const sandbox = useSandbox()

test('two nodes that have different halves of a blob end their pulls from each other when the seed is killed', () =>
  attempts(async ({ sandbox }) => {
    const blob = new KnownBlob('two-halves', 32 * MIB)
    const half = blob.size / 2
    const seed = await MeshNode.start(sandbox, { name: 'halves-seed', role: 'seed' })
    const [toFirst, toSecond] = [await Link.to(sandbox, seed), await Link.to(sandbox, seed)]
    const first = await MeshNode.start(sandbox, { name: 'halves-first', join: [toFirst], seed })
    const second = await MeshNode.start(sandbox, { name: 'halves-second', join: [toSecond, first], seed })
    await blob.push(seed)

    // The first node stands still while the second one pulls, or they would share before the seed is gone.
    toFirst.holdAfter(half + 6 * MIB)
    toSecond.holdAfter(half + 2 * MIB)
    // A reader for each piece, since one alone comes first only with the piece that it waits for.
    const latter = range(half / MIB, blob.size / MIB).map((i) =>
      blob.pull(first, { start: i * MIB, end: (i + 1) * MIB })
    )
    for (const piece of latter) expect(await piece.end).toMatchObject({ status: 206, whole: true })
    expect(await first.receivedFromPeers()).toBeLessThan(blob.size)
    first.process.signal('SIGSTOP')
    const former = blob.pull(second)
    await eventually('the second node has the former half', HANG_MS, () => former.bytes >= half || undefined)
    expect(await second.receivedFromPeers()).toBeLessThan(blob.size)

    await seed.kill()
    first.process.signal('SIGCONT')
    expect(await within(HANG_MS, former.end)).toMatchObject({ status: 200, whole: true })
    expect(await blob.pull(first).end).toMatchObject({ status: 200, whole: true })
    for (const node of [first, second]) {
      expect(await node.receivedFromPeers(), node.name).toBeLessThan(blob.size + SLACK_BYTES)
    }
  }))

test('two nodes whose seed is killed go on with their pulls when it is back, unseen by their clients', () =>
  attempts(async ({ sandbox }) => {
    const blob = new KnownBlob('seed-comes-back', 32 * MIB)
    const seed = await MeshNode.start(sandbox, { name: 'back-seed', role: 'seed' })
    const link = await Link.to(sandbox, seed)
    const nodes = await Promise.all([
      MeshNode.start(sandbox, { name: 'back-first', join: [link], seed }),
      MeshNode.start(sandbox, { name: 'back-second', join: [link], seed })
    ])
    await blob.push(seed)

    // Both together get less than the blob, so that neither has the rest from the other.
    link.holdAfter(blob.size / 4)
    const pulls = nodes.map((node) => blob.pull(node))
    await within(HANG_MS, Promise.race([link.held(2), ...pulls.map(({ end }) => end.then(endedEarly))]))
    await seed.kill()
    const killedAt = performance.now()
    link.release()
    await seed.restart()
    await eventually('the nodes find the seed again', HANG_MS, async () => {
      return (await seed.status()).peers >= nodes.length || undefined
    })
    const backAfterMs = performance.now() - killedAt

    const ends = await within(HANG_MS, Promise.all(pulls.map(({ end }) => end)))
    if (backAfterMs >= BACK_WITHIN_MS) throw new UnclearError(`the seed was back only after ${backAfterMs} ms`)
    for (const end of ends) expect(end).toMatchObject({ status: 200, whole: true })
    for (const node of nodes) {
      expect(await node.receivedFromPeers(), node.name).toBeLessThan(blob.size + SLACK_BYTES)
    }
  }))

test('a pull whose seed stays away is cut in bounded time, and a later one goes on from where it was', async () => {
  const blob = new KnownBlob('seed-stays-away', 32 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'away-seed', role: 'seed' })
  const link = await Link.to(sandbox, seed)
  const node = await MeshNode.start(sandbox, { name: 'away-node', join: [link], seed })
  await blob.push(seed)

  link.holdAfter(16 * MIB)
  const cut = blob.pull(node)
  await link.held()
  await seed.kill()
  link.release()
  expect(await within(HANG_MS, cut.end)).toMatchObject({ status: 200, whole: false })
  expect(await within(HANG_MS, blob.pull(node).end)).toMatchObject({ status: expect.toSatisfy(isRefusal) })

  await seed.restart()
  await eventually('the node finds the seed again', HANG_MS, async () => {
    return (await node.status()).peers > 0 || undefined
  })
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  expect(await node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
})

/** The nodes know the seed by another way than the link when it has called them. */
function endedEarly(): never {
  throw new UnclearError('a pull ended before the link was held')
}

/** What makes a client go on to its next registry: not found, or not to be had now. */
function isRefusal(status: number): boolean {
  return status === 404 || status === 503
}

/** The whole numbers from `start` up to `end`. */
function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i)
}
