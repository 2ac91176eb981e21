import { expect, test } from 'vitest'
import { HANG_MS, within } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import type { Sandbox } from '../support/sandbox.ts'
import { attempts, UnclearError } from './support/attempts.ts'
import { KnownBlob, MIB, type RunningPull } from './support/known-blob.ts'
import { Link } from './support/link.ts'

/** In the middle of a piece: pieces have 1 MiB, and encryption adds little. */
const UNTIL_BYTES = 6.5 * MIB
/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB
/** One copy comes from afar; on a busy machine a node may bring in what it has not heard in time that others have. */
const ONE_COPY = 1.5
/** Less than if all went for themselves. */
const MAX_COPIES = 2.5
const ZONE_SIZE = 3

test('when a node that brings pieces in from afar is killed in mid-piece, the others of its zone get the rest', () =>
  attempts(async ({ sandbox }) => {
    const { blob, gateway, others } = await pullFromAfar(sandbox, 'killed')
    const cut = gateway.pull.end
    await gateway.node.kill()
    for (const { link } of others) link.release()

    await expectTheRest(blob, others)
    expect(await cut).toMatchObject({ whole: false })

    gateway.link.release()
    await gateway.node.restart()
    const held = (await gateway.node.status()).store.bytes
    expect(await within(HANG_MS, blob.pull(gateway.node).end)).toMatchObject({ status: 200, whole: true })
    expect(await gateway.node.receivedFromPeers()).toBeLessThan(blob.size - held + SLACK_BYTES)
  }))

test('when a node that brings pieces in from afar freezes in mid-piece, the others get the rest, and it too once it thaws', () =>
  attempts(async ({ sandbox, silenced }) => {
    const { blob, gateway, others } = await pullFromAfar(sandbox, 'frozen')
    silenced.add(gateway.node.peerId)
    gateway.node.process.signal('SIGSTOP')
    for (const { link } of [gateway, ...others]) link.release()

    await expectTheRest(blob, others)

    gateway.node.process.signal('SIGCONT')
    expect(await within(HANG_MS, gateway.pull.end)).toMatchObject({ status: 200, whole: true })
    expect(await gateway.node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
  }))

/** A node of the zone that is far from the seed, and what a client pulls from it. */
interface Puller {
  readonly node: MeshNode
  /** Its own way to the seed. */
  readonly link: Link
  readonly pull: RunningPull
}

/**
 * Has all nodes of a zone pull a blob that only the seed has, which is far, until one of them has so much of it: that one
 * is in the middle of a piece, and no link lets anything more through.
 */
async function pullFromAfar(
  sandbox: Sandbox,
  name: string
): Promise<{ blob: KnownBlob; gateway: Puller; others: Puller[] }> {
  const blob = new KnownBlob(`gateway-${name}`, 48 * MIB)
  const seed = await MeshNode.start(sandbox, { name: `${name}-seed`, role: 'seed', flags: ['--zone', 'afar'] })
  await blob.push(seed)
  const members: { node: MeshNode; link: Link }[] = []
  for (let i = 0; i < ZONE_SIZE; i++) {
    const link = await Link.to(sandbox, seed)
    const join = [link, ...members.map(({ node }) => node)]
    const options = { name: `${name}-near${i}`, join, seed, flags: ['--zone', 'near'] }
    members.push({ link, node: await MeshNode.start(sandbox, options) })
  }
  for (const { link } of members) link.holdAfter(UNTIL_BYTES)
  const pullers = members.map((member): Puller => ({ ...member, pull: blob.pull(member.node) }))
  const gateway = await Promise.race(pullers.map((puller) => puller.link.held().then(() => puller)))
  return { blob, gateway, others: pullers.filter((puller) => puller !== gateway) }
}

/** The pulls end, and nothing came twice to a node; what came from afar they have shared. */
async function expectTheRest(blob: KnownBlob, pullers: readonly Puller[]): Promise<void> {
  for (const { pull } of pullers) expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: true })
  let far = 0
  for (const { node } of pullers) {
    expect(await node.receivedFromPeers(), node.name).toBeLessThan(blob.size + SLACK_BYTES)
    far += await node.metric('layermesh_received_bytes_total', { scope: 'far' })
  }
  const copies = far / blob.size
  expect(copies).toBeLessThan(MAX_COPIES)
  if (copies >= ONE_COPY) throw new UnclearError(`${copies} copies came from afar`)
}
