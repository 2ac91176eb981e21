import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFailed, onTestFinished, test } from 'vitest'
import { eventually, HANG_MS } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { Sandbox } from '../support/sandbox.ts'
import { BanWatch } from './support/ban-watch.ts'
import { ImageLedger } from './support/image-ledger.ts'
import { MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'
import type { LoadedNode } from './support/loaded-node.ts'
import { Random, testSeeds } from './support/random.ts'
import { StoreLoad } from './support/store-load.ts'

/** How long the load lasts. */
const LOAD_MS = Number(process.env.LAYERMESH_LOAD_SECONDS ?? 30) * 1000
const QUOTA_BYTES = 24 * MIB
const LEASE_MS = 2_000
const GRACE_MS = 8_000
const STORE = {
  lease: `${LEASE_MS}ms`,
  garbage: { every: '1s', grace: `${GRACE_MS}ms`, unfinishedAfter: `${GRACE_MS}ms` }
}
const CACHE = { ...STORE, maxSize: `${QUOTA_BYTES / MIB}MiB`, highWatermark: '80%', lowWatermark: '40%' }
const PULL = { deadline: '20s' }
/** The load goes on for longer where a machine is so slow that hardly anything happens. */
const MAX_LONGER_MS = 300_000
const TIMEOUT_MS = LOAD_MS + MAX_LONGER_MS + 500_000
const LIVE_AT_LEAST = 15
const KILL_NODE_EVERY_MS = 15_000
/** Long after, as its nodes may take a minute to find it again. */
const KILL_SEED_EVERY_MS = 200_000
const PULLS_AT_LEAST = 20
/** A node looks once a minute for those that it joins through, and a machine may be slow. */
const REJOIN_MS = 3 * 60_000

test.each(testSeeds(1))(
  'no blob of a served image is ever missing, while room is made and garbage collected under load (LAYERMESH_TEST_SEED=%i)',
  async (testSeed) => {
    const random = new Random(testSeed)
    const sandbox = new Sandbox()
    onTestFinished(() => sandbox.close())
    const ledger = new ImageLedger(random, { layers: 60, images: 40 })
    const load = new StoreLoad(ledger, { leaseMs: LEASE_MS, graceMs: GRACE_MS })
    onTestFailed(() => console.error(`${load.tally}\n${sandbox.logs()}`))
    const { seed, nodes } = await startNodes(sandbox)
    load.seed = seed
    load.bans = new BanWatch([seed, ...nodes])
    while (ledger.live().length < LIVE_AT_LEAST) await load.push(seed, random)

    const [first, second] = nodes
    const ending = new AbortController()
    onTestFinished(() => ending.abort())
    const lasts = async () => {
      await sleep(LOAD_MS, undefined, { signal: ending.signal })
      await eventually('the nodes had work to do', MAX_LONGER_MS, () => {
        ending.signal.throwIfAborted()
        return load.tally.get('pulls from nodes') > PULLS_AT_LEAST || undefined
      })
      ending.abort()
    }
    const during = (pauseMs: number, work: (random: Random) => Promise<void>) => {
      const own = random.fork()
      return load.repeat(ending.signal, own, pauseMs, () => work(own))
    }
    const all = [
      lasts(),
      during(200, (own) => load.push(seed, own)),
      during(200, (own) => load.push(first, own)),
      during(400, (own) => load.push(second, own)),
      during(300, (own) => load.delete(own, LIVE_AT_LEAST)),
      during(100, (own) => load.pull(seed, own)),
      during(300, (own) => load.pull(first, own)),
      during(300, (own) => load.pull(first, own)),
      during(300, (own) => load.pull(second, own)),
      during(1_000, async (own) => void (await load.collectGarbage(own.pick([seed, first, second])))),
      during(100, () => keepsQuota([first, second])),
      killAgainAndAgain(second, KILL_NODE_EVERY_MS, 1, random.fork(), ending.signal),
      killAgainAndAgain(seed, KILL_SEED_EVERY_MS, nodes.length, random.fork(), ending.signal)
    ]
    try {
      await Promise.all(all)
    } finally {
      ending.abort()
      await Promise.allSettled(all)
    }
    console.log(`seed ${testSeed}, ${LOAD_MS / 1000} s: ${load.tally}; ${await evictions([first, second])}`)

    // A node has no room for all of them within the time of a lease.
    for (const image of ledger.live()) await load.pullAll(seed, image)
    await sleep(GRACE_MS + LEASE_MS)
    await eventually('all garbage is collected', HANG_MS, async () => {
      const report = await load.collectGarbage(seed)
      return (report?.complete && report.blobs === 0) || undefined
    })
    expect((await seed.node.status()).store.bytes).toBe(ledger.liveBytes())
    for (const image of ledger.live()) await load.pullAll(seed, image)
  },
  TIMEOUT_MS
)

async function startNodes(sandbox: Sandbox) {
  // The nodes find the seed again after it was killed.
  const link = await Link.open(sandbox)
  const shared = { flags: ['--log-level', 'info'] }
  const settings = { store: STORE, pull: PULL, mesh: { announce: [link.address] } }
  const seed = await MeshNode.start(sandbox, { ...shared, name: 'seed', role: 'seed', mesh: link.behind, settings })
  const start = async (name: string): Promise<LoadedNode> => {
    const options = { ...shared, name, join: [link], seed, settings: { store: CACHE, pull: PULL } }
    return { node: await MeshNode.start(sandbox, options), isSeed: false, lives: 0 }
  }
  const nodes: [LoadedNode, LoadedNode] = [await start('first'), await start('second')]
  return { seed: { node: seed, isSeed: true, lives: 0 } satisfies LoadedNode, nodes }
}

async function keepsQuota(nodes: readonly LoadedNode[]): Promise<void> {
  for (const { node, lives } of nodes) {
    if (lives % 2 === 1) continue
    const status = await node.status().catch(() => undefined)
    if (status) expect(status.store.bytes, node.name).toBeLessThanOrEqual(QUOTA_BYTES)
  }
}

/** @param peers whom it must have found again before anything is expected of it */
async function killAgainAndAgain(
  at: LoadedNode,
  everyMs: number,
  peers: number,
  random: Random,
  signal: AbortSignal
): Promise<void> {
  for (;;) {
    await sleep(random.integer(everyMs / 2, everyMs), undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    at.lives++
    await at.node.kill()
    await at.node.restart()
    await eventually(`${at.node.name} is in the mesh again`, REJOIN_MS, async () => {
      return (await at.node.status()).peers >= peers || undefined
    })
    at.lives++
  }
}

async function evictions(nodes: readonly LoadedNode[]): Promise<string> {
  const told = nodes.map(async ({ node }) => {
    const bytes = await node.metric('layermesh_store_removed_bytes_total', { reason: 'quota' })
    return `${node.name} removed ${Math.round(bytes / MIB)} MiB to make room`
  })
  return (await Promise.all(told)).join(', ')
}
