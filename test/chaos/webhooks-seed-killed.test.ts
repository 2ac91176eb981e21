import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { type ReceivedEvent, WebhookReceiver } from '../support/webhook-receiver.ts'
import { Pusher } from './support/pusher.ts'
import { Random } from './support/random.ts'

const ROUNDS = 6
const PUSHERS = 3
/** A round ends so many acknowledgements after its start at most, and so long after the last of them. */
const MAX_ACKNOWLEDGED = 20
const MAX_DELAY_MS = 20
const REFUSED_ONE_IN = 4

const sandbox = useSandbox()

test('a seed that is killed again and again delivers the event of each push that it acknowledged, in order', async () => {
  const random = Random.printed()
  const receiver = await WebhookReceiver.start(sandbox)
  const refusals = random.fork()
  receiver.answer = () => (refusals.integer(1, REFUSED_ONE_IN) === 1 ? 503 : 204)
  const settings = { webhooks: [receiver.settings('ci', ['*.pushed', 'tag.*'])] }
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', settings })
  let killAt = Promise.withResolvers<void>()
  let left = 0
  const onAcknowledged = () => {
    if (--left === 0) killAt.resolve()
  }
  const pushers = Array.from({ length: PUSHERS }, (_, i) => new Pusher(`p${i}`, random.fork(), onAcknowledged))

  for (let round = 1; round <= ROUNDS; round++) {
    killAt = Promise.withResolvers()
    left = random.integer(1, MAX_ACKNOWLEDGED)
    const pushing = Promise.all(pushers.map((pusher) => pusher.pushUntilGone(seed.registryUrl)))
    await Promise.race([killAt.promise, pushing])
    // Not to wait for anything: the moment of the fault.
    await sleep(random.integer(0, MAX_DELAY_MS))
    await seed.kill()
    await pushing
    await seed.restart()
  }

  receiver.answer = () => 204
  await eventually('all events are delivered', HANG_MS, async () => {
    return (await seed.metric('layermesh_webhooks_pending')) === 0 || undefined
  })
  expect(receiver.forged).toEqual([])
  expectInOrder(receiver.events)
  for (const pusher of pushers) expectAllOf(pusher, receiver.events)
  const repeated = receiver.events.length - new Set(receiver.events.map(({ id }) => id)).size
  console.log(`${receiver.events.length} messages, ${repeated} of them came again`)
  expect(repeated).toBeGreaterThan(0)
})

/** What comes again is the same, and what comes for the first time comes in the order in which it happened. */
function expectInOrder(events: readonly ReceivedEvent[]): void {
  const first = new Map<string, ReceivedEvent>()
  for (const event of events) {
    expect(event).toEqual(first.get(event.id) ?? event)
    if (!first.has(event.id)) first.set(event.id, event)
  }
  const sequences = [...first.values()].map(({ sequence }) => sequence)
  expect(sequences).toEqual([...new Set(sequences)].sort())
}

/** Each blob and manifest that was acknowledged has its event, and each tag one for what it means. */
function expectAllOf(pusher: Pusher, events: readonly ReceivedEvent[]): void {
  const of = (type: string) =>
    events.filter((event) => event.type === `dev.layermesh.${type}.v1` && event.data.repository === pusher.repository)
  const digests = (type: string) => of(type).map(({ data }) => data.digest)
  for (const { digest } of pusher.blobs) expect(digests('blob.pushed'), pusher.repository).toContain(digest)
  const pushed = [...new Set(digests('manifest.pushed'))]
  const acknowledged = pusher.manifests.map(({ digest }) => digest)
  expect(pushed.filter((digest) => acknowledged.includes(digest as never))).toEqual(acknowledged)
  const tagged = [...digests('tag.set'), ...digests('tag.moved')]
  for (const digest of acknowledged) expect(tagged, pusher.repository).toContain(digest)
}
