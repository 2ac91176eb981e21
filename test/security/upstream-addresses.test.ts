import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { ask } from './support/client.ts'
import { HostileServer } from './support/hostile-upstream.ts'

/** A connection that is refused, not one that is waited for in vain. */
const QUICK_MS = 30_000

const sandbox = useSandbox()
let node: MeshNode
let listed: HostileServer
let connections = 0
let port = 0

/** A node that asks all public registries, as one does when nothing is said, beside one that is listed. */
beforeAll(async () => {
  for (const host of ['127.0.0.1', '::1']) port = await listen(host)
  listed = await HostileServer.start(sandbox)
  const registries = { 'hostile.example': { url: listed.url } }
  const settings = { upstreams: { default: 'hostile.example', others: 'public', registries } }
  node = await MeshNode.start(sandbox, { name: 'node', role: 'seed', settings })
})

beforeEach(() => {
  connections = 0
})

/** Counts connections, at the same port of each address. */
async function listen(host: string): Promise<number> {
  const server = createServer((socket) => {
    connections++
    socket.destroy()
  }).listen(port, host)
  await once(server, 'listening')
  sandbox.defer(async () => void server.close())
  return (server.address() as AddressInfo).port
}

// The inside of the network, as a node sees it that everybody may ask for any registry.
test.each([
  '127.0.0.1:PORT',
  'localhost:PORT',
  '2130706433:PORT',
  '0x7f.0.0.1:PORT',
  '127.1:PORT',
  '0.0.0.0:PORT',
  '10.0.0.1:PORT',
  '192.168.0.1',
  '172.16.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '100.100.100.200',
  'localhost'
])('a node does not ask a registry at %s because a client names it', async (form) => {
  const host = form.replace('PORT', String(port))
  for (const path of [`/v2/${host}/team/app/manifests/1`, `/v2/team/app/manifests/1?ns=${host}`]) {
    const { status, elapsedMs } = await ask(node, 'GET', path)
    expect([path, status]).toEqual([path, 404])
    expect(elapsedMs).toBeLessThan(QUICK_MS)
  }
  expect(connections).toBe(0)
})

test.each([
  'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
  'http://[fd00:ec2::254]/latest/meta-data/',
  'http://100.100.100.200/latest/meta-data/',
  'http://0.0.0.0:PORT/',
  'http://[::]:PORT/',
  'http://[::ffff:127.0.0.1]:PORT/',
  'http://[64:ff9b::7f00:1]:PORT/',
  'http://[fe80::1]:PORT/',
  'gopher://127.0.0.1:PORT/',
  'file:///etc/passwd'
])('a node follows no registry to %s', async (form) => {
  const location = form.replace('PORT', String(port))
  listed.handler = (_, response) => response.writeHead(302, { location }).end()
  const before = listed.seen.length
  const { status, elapsedMs, body } = await ask(node, 'GET', `/v2/hostile.example/team/app/manifests/${before}`)
  expect(status).toBe(404)
  expect(body.toString()).not.toContain(location)
  expect(elapsedMs).toBeLessThan(QUICK_MS)
  expect(listed.seen.length).toBeGreaterThan(before)
  expect(connections).toBe(0)
})
