import { expect, test } from 'vitest'
import { eventually, HANG_MS, request, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Liar } from './support/liar.ts'
import { secretFile } from './support/secret.ts'

const PULLERS = 3
const PIECE_BYTES = MIB
/** Pieces that a node may have asked the liar for before it finds the first lie. */
const MAX_LIES = 16
/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB

const sandbox = useSandbox()

test('a member that lies about some pieces is found out and shut out by each node that it lied to, and all get right bytes', async () => {
  const secret = await secretFile(sandbox)
  const flags = (zone: string) => ['--secret-file', secret, '--zone', zone]
  const blob = new KnownBlob('lied-about', 48 * MIB)
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', flags: flags('afar') })
  await blob.push(seed)
  // Near, and with all pieces: whoever wants the blob asks it first.
  const liar = await Liar.start(sandbox, {
    ...{ name: 'liar', join: [seed], seed, zone: 'near', secretFile: secret },
    ...{ blob, everyNth: 3 }
  })
  await liar.fetched()
  const nodes = await Promise.all(
    Array.from({ length: PULLERS }, (_, i) =>
      MeshNode.start(sandbox, { name: `node${i}`, join: [seed, liar], seed, flags: flags('near') })
    )
  )

  const pulls = nodes.map((node) => blob.pull(node))
  for (const pull of pulls) expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: true })

  expect(liar.hasLied).toBe(true)
  const lies = await Promise.all(nodes.map((node) => node.metric('layermesh_piece_failures_total')))
  expect(Math.max(...lies)).toBeGreaterThan(0)
  for (const [i, node] of nodes.entries()) {
    const told = lies[i] ?? 0
    expect(told, node.name).toBeLessThanOrEqual(MAX_LIES)
    expect(await node.receivedFromPeers(), node.name).toBeLessThan(blob.size + told * PIECE_BYTES + SLACK_BYTES)
    await expectBanned(node, told > 0 ? [liar.peerId] : [])
  }

  // Who was shut out stays out, and nobody else is.
  const again = new KnownBlob('after-the-lies', 8 * MIB)
  await again.push(seed)
  for (const node of nodes) expect(await again.pull(node).end).toMatchObject({ status: 200, whole: true })
})

/** These were shut out for wrong bytes, named in the log and hung up on; nobody else was shut out. */
async function expectBanned(node: MeshNode, peerIds: readonly string[]): Promise<void> {
  expect(await node.metric('layermesh_peers_banned_total'), node.name).toBe(peerIds.length)
  expect(await node.metric('layermesh_peers_banned_total', { reason: 'wrong-bytes' })).toBe(peerIds.length)
  for (const peerId of peerIds) {
    expect(node.process.log.find(/"reason":"wrong-bytes".*banned a peer/)).toContain(peerId)
    await eventually(`${node.name} hangs up on the liar`, HANG_MS, async () => {
      const { body } = await request(`${node.adminUrl}/api/v1/peers`)
      return !body.includes(peerId) || undefined
    })
  }
}
