import { expect, test } from 'vitest'
import { HANG_MS, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'

const SLOW_CLIENTS = 8
const FAST_CLIENTS = 3
/** What a slow client takes before it stops reading; what then waits for it is in the buffers of its connection. */
const UNTIL_BYTES = 2 * MIB
/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB
/** Of the whole process. All that the slow clients have not taken yet would be more than twice as much. */
const MEMORY_BYTES = 256 * MIB

const sandbox = useSandbox()

test('clients that stop reading hold up neither others of the same blob nor the node, and get the rest when they read on', async () => {
  const blob = new KnownBlob('slow-client', 96 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
  await blob.push(seed)

  const readOn = Promise.withResolvers<void>()
  const slow = Array.from({ length: SLOW_CLIENTS }, () => {
    let taken = 0
    const onBytes = (bytes: number) => {
      taken += bytes
      return taken >= UNTIL_BYTES ? readOn.promise : undefined
    }
    return blob.pull(node, { onBytes })
  })
  const fast = Array.from({ length: FAST_CLIENTS }, () => blob.pull(node))

  for (const { end } of fast) expect(await within(HANG_MS, end)).toMatchObject({ status: 200, whole: true })
  for (const { bytes } of slow) expect(bytes).toBeLessThan(UNTIL_BYTES + MIB)
  expect(await blob.pull(node).end).toMatchObject({ status: 200, whole: true })
  expect(await node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)

  readOn.resolve()
  for (const { end } of slow) expect(await within(HANG_MS, end)).toMatchObject({ status: 200, whole: true })
  expect(await node.peakResidentBytes()).toBeLessThan(MEMORY_BYTES)
})
