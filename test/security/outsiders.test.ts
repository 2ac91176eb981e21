import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { secretFile } from '../chaos/support/secret.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask, putImage } from './support/client.ts'
import { HostilePeer, type HostilePeerOptions, PROTOCOLS, readSecret } from './support/hostile-peer.ts'
import { Victim } from './support/victim.ts'

/** On a CPU; seconds, where the defence is missing. */
const MAX_TURN_MS = 1_500
const KNOWN_TO_ALL = ['', '/multistream/1.0.0', 'na', '/layermesh/tls/2.0.0', '/noise']

const sandbox = useSandbox()
const strangers: HostilePeer[] = []
let victim: Victim
let secret: Uint8Array

beforeAll(async () => {
  const file = await secretFile(sandbox)
  secret = await readSecret(file)
  const flags = ['--secret-file', file]
  victim = await Victim.start(sandbox, { name: 'seed', role: 'seed', flags })
  await putImage(victim.node, 'team/app', '1', Buffer.from('a private layer'))
})

afterAll(() => Promise.all(strangers.map((stranger) => stranger.stop())))

async function stranger(options: HostilePeerOptions): Promise<HostilePeer> {
  const peer = await HostilePeer.start(options)
  strangers.push(peer)
  return peer
}

const OUTSIDERS: Record<string, () => HostilePeerOptions> = {
  'no secret, by TLS': () => ({}),
  'no secret, by noise': () => ({ encryption: 'noise' }),
  'another secret, by TLS': () => ({ secret: randomBytes(32) }),
  'another secret, by noise': () => ({ secret: randomBytes(32), encryption: 'noise' }),
  'a secret that begins alike, by TLS': () => ({ secret: Buffer.concat([secret, Buffer.from([0])]) }),
  'a secret that begins alike, by noise': () => ({
    secret: Buffer.concat([secret, Buffer.from([0])]),
    encryption: 'noise'
  })
}

test('who knows the secret is answered, so that the strangers below have something to miss', async () => {
  for (const encryption of ['tls', 'noise'] as const) {
    const member = await stranger({ secret, encryption })
    for (const protocol of PROTOCOLS) {
      const stream = await member.open(victim.node, protocol)
      expect(stream.protocol).toBe(protocol)
      stream.abort(new Error('done'))
    }
  }
})

test.each(Object.keys(OUTSIDERS))('a node with %s is answered on no protocol', async (kind) => {
  const peer = await stranger(OUTSIDERS[kind]?.() ?? {})
  for (const protocol of PROTOCOLS) await expect(peer.open(victim.node, protocol)).rejects.toThrow()
  expect(peer.host.getConnections()).toEqual([])
  const { body } = await ask({ registryUrl: victim.node.adminUrl }, 'GET', '/api/v1/peers')
  expect(body.toString()).not.toContain(peer.peerId)
})

test('a stranger learns no more by the bytes on its socket than that somebody speaks libp2p, and by which encryption', async () => {
  const { host, port } = socketOf(victim.node)
  const heard: Buffer[] = []
  for (const sent of [
    '',
    'GET / HTTP/1.1\r\n\r\n',
    '\x13/multistream/1.0.0\n\x03ls\n',
    '\x13/multistream/1.0.0\n\x14/layermesh/blob/1.0.0\n',
    '\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n'
  ]) {
    const socket = connect({ host, port })
    socket.on('error', () => {})
    socket.on('data', (data) => heard.push(data))
    socket.write(sent, 'latin1')
    await sleep(500)
    socket.destroy()
  }
  const text = Buffer.concat(heard).toString('latin1')
  expect(
    text
      .replaceAll(/[^\x20-\x7e]+/g, ' ')
      .trim()
      .split(/\s+/)
  ).toSatisfy((words: string[]) => words.every((word) => KNOWN_TO_ALL.includes(word)))
})

test('handshakes without end hold neither places nor memory', async () => {
  const before = await victim.usage()
  const { host, port } = socketOf(victim.node)
  const sockets = Array.from({ length: 1_000 }, () => connect({ host, port }))
  for (const socket of sockets) {
    socket.on('error', () => {})
    socket.write('\x13/multistream/1.0.0\n', 'latin1')
  }
  await sleep(1_000)
  const member = await stranger({ secret })
  await expect
    .poll(
      () =>
        member.open(victim.node, '/layermesh/ping/1.0.0').then(
          () => true,
          () => false
        ),
      { timeout: 90_000 }
    )
    .toBe(true)
  await expect.poll(() => sockets.every(({ closed }) => closed), { timeout: 90_000 }).toBe(true)
  await victim.expectNoLeak(before)
  victim.expectAlive()
})

test('lengths without end, from strangers, do not keep the node busy', async () => {
  const { host, port } = socketOf(victim.node)
  await victim.usage()
  const sockets = Array.from({ length: 8 }, () => connect({ host, port }))
  for (const socket of sockets) {
    socket.on('error', () => {})
    socket.write(Buffer.alloc(4 * 1024 * 1024, 0xff))
  }
  await expect.poll(() => sockets.every(({ closed }) => closed), { timeout: 90_000 }).toBe(true)
  const { longestTurnMs } = await victim.usage()
  expect(longestTurnMs, 'ms in which nothing else was done').toBeLessThan(MAX_TURN_MS)
})

test('a node without a secret does not listen beyond the loopback', async () => {
  await expect(
    MeshNode.start(sandbox, { name: 'open', role: 'seed', mesh: '/ip4/0.0.0.0/tcp/0', startTimeoutMs: 90_000 })
  ).rejects.toThrow(/secret/)
})

function socketOf({ meshAddresses: [address = ''] }: MeshNode): { host: string; port: number } {
  const [, , host = '', , port] = multiaddr(address).toString().split('/')
  return { host, port: Number(port) }
}
