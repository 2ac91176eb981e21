import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { DemoCluster, type DemoNode } from './cluster.ts'

const PATIENT = new AbortController().signal
const SEED = { name: 'seed', role: 'seed', join: [], trust: [] } as const

/** Stands in for the command: becomes ready at the second time that it is asked, writes down how it was called. */
const FAKE_NODE = `
const { createServer } = require('node:http')
const { renameSync, writeFileSync } = require('node:fs')
const data = process.argv[process.argv.indexOf('--data') + 1]
writeFileSync(data + '/called.json', JSON.stringify({ args: process.argv.slice(2), env: Object.keys(process.env) }))
let asked = 0
const server = createServer((request, response) => {
  const ready = ++asked > 1
  if (ready) writeFileSync(data + '/ready', '')
  response.writeHead(ready ? 200 : 503).end()
})
server.listen(0, '127.0.0.1', () => {
  const admin = 'http://127.0.0.1:' + server.address().port
  const info = { pid: process.pid, admin, registry: admin, meshAddresses: ['/mesh/' + process.pid], peerId: 'p' }
  writeFileSync(data + '/node.json.new', JSON.stringify(info))
  renameSync(data + '/node.json.new', data + '/node.json')
})
`
const FAILING_NODE = `console.error('first\\nno port left'); process.exit(1)`

let directory: string
const clusters: DemoCluster[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-cluster-'))
})
afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster.stop()))
  await rm(directory, { recursive: true })
})

async function makeCluster(script: string, signal = PATIENT): Promise<DemoCluster> {
  const entry = join(directory, 'entry.cjs')
  await writeFile(entry, script)
  const environment = { PATH: process.env.PATH, LAYERMESH_ZONE: 'of the user' }
  const cluster = new DemoCluster(join(directory, 'nodes'), entry, environment, signal)
  clusters.push(cluster)
  return cluster
}

function isAlive({ info }: DemoNode): boolean {
  try {
    return process.kill(info.pid, 0)
  } catch {
    return false
  }
}

it('starts nodes that join each other, away from the settings of the user', async () => {
  const cluster = await makeCluster(FAKE_NODE)
  const seed = await cluster.start(SEED)
  await cluster.start({ name: 'node', role: 'node', join: [seed], trust: ['p'] })
  const called = JSON.parse(await readFile(join(directory, 'nodes/node/called.json'), 'utf8'))
  expect(called.args.join(' ')).toContain(`--join /mesh/${seed.info.pid} --trust p`)
  expect(called.args.slice(0, 3)).toEqual(['node', '--role', 'node'])
  expect(called.env).not.toContain('LAYERMESH_ZONE')
})

it('waits until a node is ready', async () => {
  const cluster = await makeCluster(FAKE_NODE)
  await cluster.start(SEED)
  await access(join(directory, 'nodes/seed/ready'))
})

it('kills one and ends the others', async () => {
  const cluster = await makeCluster(FAKE_NODE)
  const [one, other] = [await cluster.start(SEED), await cluster.start({ ...SEED, name: 'other' })]
  await cluster.kill(one)
  expect([isAlive(one), isAlive(other)]).toEqual([false, true])
  await cluster.stop()
  expect(isAlive(other)).toBe(false)
  await expect(cluster.start({ ...SEED, name: 'late' })).rejects.toMatchObject({ code: 'FAILED' })
})

it('tells the last line of the log of a node that ends while it starts', async () => {
  const cluster = await makeCluster(FAILING_NODE)
  await expect(cluster.start(SEED)).rejects.toMatchObject({
    message: 'the node seed ended while it started; the last line of its log: no port left'
  })
})

it('gives up on a node that never becomes ready when it is told to stop', async () => {
  const cluster = await makeCluster('setInterval(() => {}, 1000)', AbortSignal.timeout(10))
  await expect(cluster.start(SEED)).rejects.toMatchObject({ message: expect.stringContaining('not ready in time') })
})
