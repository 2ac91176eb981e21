import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { LAYERMESH, MeshNode } from '../support/node.ts'
import { runOk } from '../support/process.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'

/**
 * Who may sign changes here without any change on a node: by sets that an offline key signs, published at one node. Each
 * test goes on where the one before ended, as an operator's year would.
 */

const IDENTITY = 'identity.key'
/** Has a node ask the seeds each time. */
const freshness = [{ repositories: '**', maxAge: '0s' }]

const sandbox = useSandbox()
let rootKey: string
let setFile: string
let settings: Record<string, unknown>
let east: MeshNode
let west: MeshNode
let node: MeshNode
let thief: MeshNode

/** Runs `layermesh …`; gives what it printed. */
function layermesh(...args: string[]): Promise<string> {
  return runOk(LAYERMESH, args)
}

/** Signs the next set with the changes that the flags name, and publishes it at a node that is no seed. */
async function publish(...flags: string[]): Promise<void> {
  await layermesh('seeds', 'sign', '--root-key', rootKey, '--out', setFile, ...flags)
  await layermesh('seeds', 'publish', setFile, '--data', node.dataDirectory)
}

async function push(to: MeshNode, repository: string, tag: string, text: string): Promise<void> {
  const bytes = Buffer.from(text)
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(bytes), size: bytes.byteLength }
  await pushImage(to.registryUrl, repository, tag, layer, [bytes])
}

/** The text in the layer of what a tag means at a node; undefined when it means nothing there. */
async function pull(from: MeshNode, repository: string, tag: string): Promise<string | undefined> {
  const headers = { Accept: MEDIA_TYPE.ociManifest }
  const manifest = await request(`${from.registryUrl}/v2/${repository}/manifests/${tag}`, { headers })
  if (manifest.status !== 200) return undefined
  const [layer] = (JSON.parse(manifest.body.toString()) as { layers: { digest: string }[] }).layers
  const blob = await request(`${from.registryUrl}/v2/${repository}/blobs/${layer?.digest}`)
  return blob.status === 200 ? blob.body.toString() : undefined
}

function eventuallyPulls(from: MeshNode, repository: string, tag: string, text: string): Promise<true> {
  return eventually(`${from.name} pulls ${repository}:${tag}`, HANG_MS, async () =>
    (await pull(from, repository, tag)) === text ? true : undefined
  )
}

async function signerOf(at: MeshNode, repository: string): Promise<string | undefined> {
  const answer = await request(`${at.adminUrl}/api/v1/images`)
  const images = JSON.parse(answer.body.toString()) as { repository: string; signedBy: string }[]
  return images.find((image) => image.repository === repository)?.signedBy
}

async function peersOf(at: MeshNode): Promise<string[]> {
  const answer = await request(`${at.adminUrl}/api/v1/peers`)
  return (JSON.parse(answer.body.toString()) as { peerId: string }[]).map(({ peerId }) => peerId)
}

beforeAll(async () => {
  rootKey = join(sandbox.directory, 'root.key')
  setFile = join(sandbox.directory, 'seeds')
  const root = (await layermesh('keys', 'root', 'new', rootKey)).trim()
  settings = { seedSet: { root }, freshness }
  east = await MeshNode.start(sandbox, { name: 'east', role: 'seed', settings })
  node = await MeshNode.start(sandbox, { name: 'node', join: [east], settings })
  west = await MeshNode.start(sandbox, { name: 'west', role: 'seed', join: [east], settings })
})

test('nodes that know the root alone trust the seeds of the set once it is published', async () => {
  await push(east, 'team/app', '1', 'one')
  expect(await pull(node, 'team/app', '1')).toBeUndefined()
  await publish('--seed', east.peerId)
  await eventuallyPulls(node, 'team/app', '1', 'one')
  await push(node, 'team/passed-on', '1', 'passed on')
  expect(await pull(east, 'team/passed-on', '1')).toBe('passed on')
  expect(await layermesh('seeds', 'show', '--data', west.dataDirectory)).toContain(east.peerId)
})

test('a second seed signs too, and either gives what the other has', async () => {
  await publish('--seed', west.peerId)
  await push(west, 'team/west', '1', 'of the west')
  await eventuallyPulls(node, 'team/west', '1', 'of the west')
  await eventuallyPulls(east, 'team/west', '1', 'of the west')
  await eventuallyPulls(west, 'team/app', '1', 'one')
  await push(west, 'team/app', '1', 'two')
  for (const at of [east, west, node]) await eventuallyPulls(at, 'team/app', '1', 'two')
  await push(east, 'team/app', '1', 'three')
  for (const at of [east, west, node]) await eventuallyPulls(at, 'team/app', '1', 'three')
  expect(await layermesh('history', 'team/app:1', '--data', west.dataDirectory)).toMatch(/(.*\n){4}/)
})

test('the online key of a seed is rotated: the new one signs anew what the old one signed', async () => {
  await push(east, 'team/kept', '1', 'kept')
  await eventuallyPulls(node, 'team/kept', '1', 'kept')
  const old = east.peerId
  const newHome = await sandbox.makeDirectory('new-key')
  const next = (await layermesh('keys', 'show', '--data', newHome)).trim()
  await publish('--seed', next, '--retire', `${old}=1h`)
  await east.stop()
  await cp(join(newHome, IDENTITY), join(east.dataDirectory, IDENTITY))
  await east.restart({ until: 'live' })
  expect(east.peerId).toBe(next)
  await eventually('the new key has signed', HANG_MS, async () =>
    (await signerOf(east, 'team/kept')) === next ? true : undefined
  )
  await publish('--drop', old)
  await eventuallyPulls(node, 'team/kept', '1', 'kept')
  expect([next, west.peerId]).toContain(await signerOf(node, 'team/kept'))
  await push(node, 'team/kept', '1', 'still kept')
  await eventuallyPulls(node, 'team/kept', '1', 'still kept')
})

test('a stolen key is revoked: what it signed counts nowhere, and the tag is brought back from the history', async () => {
  for (const tag of ['1', '2']) {
    await push(west, 'team/target', tag, 'good')
    await eventuallyPulls(node, 'team/target', tag, 'good')
    await eventuallyPulls(east, 'team/target', tag, 'good')
  }
  const safe = new Date().toISOString()
  const stolen = west.peerId
  await west.stop()
  thief = await MeshNode.start(sandbox, { name: 'thief', role: 'seed', join: [east], settings })
  await thief.stop()
  await cp(join(west.dataDirectory, IDENTITY), join(thief.dataDirectory, IDENTITY))
  await thief.restart()
  expect(thief.peerId).toBe(stolen)
  for (const tag of ['1', '2']) {
    await push(thief, 'team/target', tag, 'evil')
    await eventuallyPulls(node, 'team/target', tag, 'evil')
  }

  await publish('--revoke', stolen)
  await eventually('the evil counts no more', HANG_MS, async () =>
    (await pull(node, 'team/target', '1')) === undefined ? true : undefined
  )
  const history = JSON.parse(await layermesh('history', 'team/target:1', '--json', '--data', east.dataDirectory))
  expect(history).toMatchObject([{ signer: stolen }, { signer: stolen }])
  await layermesh('restore', 'team/target:1', String(history[1].sequence), '--data', east.dataDirectory)
  await eventuallyPulls(node, 'team/target', '1', 'good')
  await layermesh('seeds', 'recover', stolen, '--before', safe, '--data', east.dataDirectory)
  await eventuallyPulls(node, 'team/target', '2', 'good')
})

test('a revoked seed counts no more after a restart either, and stops signing once it hears of it', async () => {
  await node.stop()
  await node.restart({ until: 'live' })
  await eventuallyPulls(node, 'team/target', '1', 'good')
  expect((await layermesh('seeds', 'show', '--data', node.dataDirectory)).match(/^revoked/gm)).toHaveLength(1)
  expect(await peersOf(east)).not.toContain(thief.peerId)

  await push(thief, 'team/target', '1', 'still evil')
  expect(await pull(node, 'team/target', '1')).toBe('good')
  await layermesh('seeds', 'publish', setFile, '--data', thief.dataDirectory)
  await thief.process.waitForLine(/this seed was revoked/, HANG_MS)
  await expect(push(thief, 'team/target', '1', 'evil again')).rejects.toThrow(/503/)
  expect(await pull(thief, 'team/target', '1')).toBeUndefined()
})
