import { beforeAll, expect, test } from 'vitest'
import { eventually, HANG_MS, within } from '../support/http.ts'
import type { Host } from '../support/network/host.ts'
import { whyNoNetwork } from '../support/network/namespace.ts'
import { Network, type Switch } from '../support/network/network.ts'
import { runOk } from '../support/process.ts'
import { describeUnless } from '../support/requirements.ts'
import { type Sandbox, useSandbox } from '../support/sandbox.ts'
import { attempts } from './support/attempts.ts'
import { isClean, MIB } from './support/known-blob.ts'
import { secretFile } from './support/secret.ts'
import { type BlobSpec, Station } from './support/station.ts'

/** Slow enough that a pull has a middle, quick enough that it does not last. */
const BITS_PER_SECOND = 200_000_000
const BLOB_BYTES = 32 * MIB
const CUT_AT_BYTES = 8.5 * MIB
/** What may come twice: pieces that two sources were asked for. */
const SLACK_BYTES = 4 * MIB

const sandbox = useSandbox()

describeUnless(await whyNoNetwork(), 'when a link drops all packets and tells nobody', () => {
  let network: Network
  let lan: Switch
  let flags: readonly string[]

  beforeAll(async () => {
    network = await Network.create(sandbox, 'lmchaos')
    lan = await network.addSwitch('lan')
    flags = ['--secret-file', await secretFile(sandbox)]
  })

  async function startNode(sandbox: Sandbox, blob: BlobSpec, name: string, seed?: Station): Promise<Station> {
    const host = await network.addHost(lan, `${blob.name}-${name}`, BITS_PER_SECOND)
    const options = seed === undefined ? ({ role: 'seed' } as const) : { join: [seed.node], seed: seed.node }
    return Station.start(sandbox, host, { ...options, flags })
  }

  async function startSeed(sandbox: Sandbox, blob: BlobSpec): Promise<Station> {
    const seed = await startNode(sandbox, blob, 'seed')
    await seed.push(blob)
    return seed
  }

  test('a pull goes on when the link is healed soon, unseen by the client', () =>
    attempts(async ({ sandbox, number }) => {
      const blob = { name: `soon-${number}`, size: BLOB_BYTES }
      const seed = await startSeed(sandbox, blob)
      const node = await startNode(sandbox, blob, 'node', seed)
      const pull = await node.pull(blob)
      await pull.reached(CUT_AT_BYTES)
      const before = await retransmissions(seed.host)
      await node.host.cut()
      await eventually(
        'packets are lost',
        HANG_MS,
        async () => (await retransmissions(seed.host)) > before || undefined
      )
      await node.host.heal()

      expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: true })
      expect(await node.node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
    }))

  test('a pull goes on from another node while the link to the seed is cut', () =>
    attempts(async ({ sandbox, silenced, number }) => {
      const blob = { name: `other-${number}`, size: BLOB_BYTES }
      const seed = await startSeed(sandbox, blob)
      const holder = await startNode(sandbox, blob, 'holder', seed)
      expect(await (await holder.pull(blob)).end).toMatchObject({ status: 200, whole: true })
      const node = await startNode(sandbox, blob, 'node', seed)
      const pull = await node.pull(blob)
      await pull.reached(CUT_AT_BYTES)
      silenced.add(seed.node.peerId)
      await seed.host.cut()

      expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: true })
      expect(await node.node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
      await seed.host.heal()
    }))

  test('a pull at a node that is cut off from all others ends in bounded time, and goes on from there once healed', () =>
    attempts(async ({ sandbox, silenced, number }) => {
      const blob = { name: `alone-${number}`, size: BLOB_BYTES }
      const seed = await startSeed(sandbox, blob)
      const node = await startNode(sandbox, blob, 'node', seed)
      const pull = await node.pull(blob)
      await pull.reached(CUT_AT_BYTES)
      for (const { node: each } of [seed, node]) silenced.add(each.peerId)
      await node.host.cut()
      expect(await within(HANG_MS, pull.end)).toMatchObject({ status: 200, whole: false })
      expect(await (await node.pull(blob)).end).toSatisfy(isClean)

      await node.host.heal()
      await eventually('the node and the seed find each other', HANG_MS, async () => {
        const end = await (await node.pull(blob)).end
        expect(end).toSatisfy(isClean)
        return end.whole || undefined
      })
      expect(await node.node.receivedFromPeers()).toBeLessThan(blob.size + SLACK_BYTES)
    }))
})

/** How many segments the host has had to send again (RFC 4022, tcpRetransSegs). */
async function retransmissions(host: Host): Promise<number> {
  const [names = [], values = []] = (await runOk(...host.command('cat', ['/proc/net/snmp'])))
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('RetransSegs')])
}
