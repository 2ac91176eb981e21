import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'

/** Forms of addresses of this host and of its network; `PORT` is where somebody listens, or nobody. */
const FORMS = [
  'http://127.0.0.1:PORT/',
  'http://localhost:PORT/',
  'http://0.0.0.0:PORT/',
  'http://2130706433:PORT/',
  'http://0x7f.0.0.1:PORT/',
  'http://[::1]:PORT/',
  'http://[::]:PORT/',
  'http://[::ffff:127.0.0.1]:PORT/',
  'http://[::ffff:7f00:1]:PORT/',
  'http://[64:ff9b::7f00:1]:PORT/',
  'http://[2002:7f00:1::]:PORT/',
  'http://169.254.169.254/latest/meta-data/',
  'http://[fd00:ec2::254]/latest/meta-data/',
  'http://10.0.0.1:PORT/',
  'http://224.0.0.1:PORT/'
] as const
const NOBODY_LISTENS = '9'

const sandbox = useSandbox()

/** Starts a seed with a webhook to each URL, and tries each. @returns what the operator is told */
async function tryAll(name: string, urls: readonly string[], more: object = {}): Promise<string[]> {
  const secretFile = join(sandbox.directory, `${name}-secret`)
  await writeFile(secretFile, 'a secret that nobody could ever guess\n', { mode: 0o600 })
  const webhooks = urls.map((url, index) => ({ name: `w${index}`, url, secretFile, ...more }))
  const seed = await MeshNode.start(sandbox, { name, role: 'seed', settings: { webhooks } })
  const token = (await readFile(join(seed.dataDirectory, 'admin.token'), 'utf8')).trim()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const told: string[] = []
  for (const webhook of webhooks) {
    const body = JSON.stringify({ name: webhook.name })
    const answer = await request(`${seed.adminUrl}/api/v1/webhooks/test`, { method: 'POST', headers, body })
    expect(answer.status).toBe(200)
    told.push((JSON.parse(answer.body.toString()) as { error: string }).error)
  }
  return told
}

// CVE-2020-13788 (Harbor): a webhook could be had to scan the ports of the inside.
test('webhooks neither reach the inside nor tell what is there', async () => {
  let connections = 0
  const server = createTcpServer((socket) => {
    connections++
    socket.destroy()
  }).listen(0, '::')
  await once(server, 'listening')
  sandbox.defer(async () => void server.close())
  const port = String((server.address() as AddressInfo).port)
  const urls = [port, NOBODY_LISTENS].flatMap((each) => FORMS.map((form) => form.replace('PORT', each)))

  const told = await tryAll('inside', urls)
  expect(connections).toBe(0)
  expect(new Set(told).size).toBe(1)
  expect(told[0]).toContain('at an address that webhooks may not reach')
})

test('a redirect leads nowhere', async () => {
  let reached = 0
  const inside = createServer((_request, response) => {
    reached++
    response.end()
  }).listen(0, '127.0.0.1')
  await once(inside, 'listening')
  const target = `http://127.0.0.1:${(inside.address() as AddressInfo).port}/`
  const outside = createServer((_request, response) => {
    response.writeHead(307, { location: target }).end()
  }).listen(0, '127.0.0.1')
  await once(outside, 'listening')
  sandbox.defer(async () => {
    for (const server of [inside, outside]) server.close().closeAllConnections()
  })
  const url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}/`

  const told = await tryAll('redirected', [url], { allowPrivateAddresses: true })
  expect(told[0]).toContain('the receiver answered 307')
  expect(reached).toBe(0)
})
