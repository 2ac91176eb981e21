import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { pushImage } from '../support/registry-client.ts'
import { useSandbox } from '../support/sandbox.ts'
import { KnownBlob, MIB } from './support/known-blob.ts'
import { Link } from './support/link.ts'

/** Has the node ask the seed each time. */
const ASK_ALWAYS = { freshness: [{ repositories: '**', maxAge: '0s' }] }

const sandbox = useSandbox()

test('a node that was restarted does not follow a seed back to what a tag meant before', async () => {
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  const link = await Link.to(sandbox, seed)
  const node = await MeshNode.start(sandbox, { name: 'node', join: [link], seed, settings: ASK_ALWAYS })
  const [older, newer] = [new KnownBlob('older', MIB), new KnownBlob('newer', MIB)]

  await pushAsTag(seed, older)
  const meaningOfOlder = await meaningOfTag(node)
  await seed.stop()
  const backup = join(sandbox.directory, 'backup')
  await cp(seed.dataDirectory, backup, { recursive: true })
  await seed.restart()
  await pushAsTag(seed, newer)
  const meaningOfNewer = await meaningOfTag(seed)
  expect(meaningOfNewer).not.toBe(meaningOfOlder)
  await eventually('the node hears of the newer meaning', HANG_MS, async () => {
    return (await meaningOfTag(node)) === meaningOfNewer || undefined
  })

  await Promise.all([node.stop(), seed.stop()])
  await rm(seed.dataDirectory, { recursive: true })
  await cp(backup, seed.dataDirectory, { recursive: true })
  await seed.restart()
  expect(await meaningOfTag(seed)).toBe(meaningOfOlder)
  await node.restart()
  expect(await meaningOfTag(node)).toBe(meaningOfNewer)
  const refused = await node.process.waitForLine(/refused a tag record/, HANG_MS)
  expect(JSON.parse(refused)).toMatchObject({ reason: 'rollback', from: seed.peerId, repository: 'team/app', tag: '1' })

  // The restored seed goes on: each push takes the sequence further, until it is past what the node knows.
  await pushAsTag(seed, newer)
  await pushAsTag(seed, older)
  await eventually('the node follows the seed again', HANG_MS, async () => {
    return (await meaningOfTag(node)) === meaningOfOlder || undefined
  })
})

async function pushAsTag(node: MeshNode, blob: KnownBlob): Promise<void> {
  const layer = { mediaType: MEDIA_TYPE.ociLayerGzip, digest: blob.digest, size: blob.size }
  await pushImage(node.registryUrl, 'team/app', '1', layer, [blob.content])
}

/** The digest that the tag stands for at this node; undefined while the node does not tell. */
async function meaningOfTag(node: MeshNode): Promise<string | undefined> {
  const headers = { Accept: MEDIA_TYPE.ociManifest }
  const answer = await request(`${node.registryUrl}/v2/team/app/manifests/1`, { headers })
  return answer.status === 200 ? (answer.headers.get('docker-content-digest') ?? undefined) : undefined
}
