import { expect, onTestFailed, onTestFinished, test } from 'vitest'
import { within } from '../support/http.ts'
import { Sandbox } from '../support/sandbox.ts'
import { Faults } from './support/faults.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Liar } from './support/liar.ts'
import { Link } from './support/link.ts'
import { Member } from './support/member.ts'
import { pullPersistently } from './support/persistent-client.ts'
import { Progress } from './support/progress.ts'
import { Random, testSeeds } from './support/random.ts'
import { secretFile } from './support/secret.ts'
import { SmallDisk, whyNoMount } from './support/small-disk.ts'

/** How many worlds are tried; each has nodes of its own. */
const ROUNDS = Number(process.env.LAYERMESH_CHAOS_ROUNDS ?? 3)
/** Where each node is. The seed is in zone `a`, so that zone `b` has to bring in everything from afar. */
const ZONES = { a1: 'a', a2: 'a', b1: 'b', b2: 'b', b3: 'b' } as const
const CLIENTS_PER_NODE = 2
const BLOB_BYTES = 48 * MIB
/** The node that has little room. */
const CRAMPED = 'b3'
const MIN_FREE_BYTES = 4 * MIB
const DISK_BYTES = BLOB_BYTES + 16 * MIB
/** What may come to a node more than once: pieces that were asked of two, or that did not fit on its disk. */
const SLACK_BYTES = 8 * MIB
const LIAR_SLACK_BYTES = 8 * MIB
/** Only ends what hangs. A pull without a source is given up after 20 s, a peer that fell silent is shut out for 30 s. */
const HANG_MS = 400_000

const canMount = (await whyNoMount()) === undefined

test.each(testSeeds(ROUNDS))(
  'all clients get right bytes, and nothing is fetched twice, whatever happens meanwhile (LAYERMESH_TEST_SEED=%i)',
  async (testSeed) => {
    const random = new Random(testSeed)
    const sandbox = new Sandbox()
    onTestFinished(() => sandbox.close())
    const blob = new KnownBlob('in-chaos', BLOB_BYTES)
    const { seed, nodes, secret } = await startMesh(sandbox)
    const progress = new Progress()
    const faults = new Faults(
      { seed, nodes, distantZone: 'b', progress },
      random,
      blob.size * nodes.length * CLIENTS_PER_NODE
    )
    onTestFailed(() => console.error(`${faults.story}\n${sandbox.logs()}`))
    const liar = random.pick([true, false]) ? await startLiar(sandbox, seed, secret, blob) : undefined
    await blob.push(seed.node)

    const stopped = new AbortController()
    onTestFinished(() => stopped.abort())
    const pulls = nodes.flatMap((node) =>
      Array.from({ length: CLIENTS_PER_NODE }, () => pullPersistently(blob, node, progress, stopped.signal))
    )
    await within(HANG_MS, Promise.all([faults.run(), ...pulls]))

    for (const { node, heldAtStart, disk } of nodes) {
      const slack = SLACK_BYTES + (liar ? LIAR_SLACK_BYTES : 0) + (disk ? SLACK_BYTES : 0)
      expect(await node.receivedFromPeers(), node.name).toBeLessThan(blob.size - heldAtStart + slack)
      expect(await blob.pull(node).end, node.name).toMatchObject({ status: 200, whole: true })
    }
    for (const member of [seed, ...nodes]) {
      const unjust = member.bansForLying().filter((line) => liar === undefined || !line.includes(liar.peerId))
      expect(unjust, member.node.name).toEqual([])
    }
  }
)

/** A seed and five nodes in two zones, each behind a link, one of them on a disk that is just large enough. */
async function startMesh(sandbox: Sandbox): Promise<{ seed: Member; nodes: Member[]; secret: string }> {
  const secret = await secretFile(sandbox)
  const seedLink = await Link.open(sandbox)
  const seed = await Member.start(sandbox, {
    name: 'seed',
    role: 'seed',
    zone: 'a',
    secretFile: secret,
    link: seedLink
  })
  const links = new Map(
    await Promise.all(Object.keys(ZONES).map(async (name) => [name, await Link.open(sandbox)] as const))
  )
  const nodes = await Promise.all(
    Object.entries(ZONES).map(async ([name, zone]) => {
      const link = links.get(name) ?? seedLink
      // Two to join through, as the seed may be away.
      const other = links.get(name === 'a1' ? 'b1' : 'a1') ?? seedLink
      const cramped = canMount && name === CRAMPED
      const disk = cramped ? { disk: await SmallDisk.mount(sandbox, name, DISK_BYTES) } : {}
      const settings = { store: { minFree: `${MIN_FREE_BYTES / MIB}MiB` } }
      const join = [seedLink, other]
      return Member.start(sandbox, { name, zone, secretFile: secret, link, seed: seed.node, join, settings, ...disk })
    })
  )
  return { seed, nodes, secret }
}

/** It is one of those that want the blob, in the zone that the nodes of zone `b` ask first. */
function startLiar(sandbox: Sandbox, seed: Member, secret: string, blob: KnownBlob): Promise<Liar> {
  const options = { name: 'liar', join: [seed.node], seed: seed.node, zone: 'b', secretFile: secret }
  return Liar.start(sandbox, { ...options, blob, everyNth: 5 })
}
