import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Random } from './support/random.ts'

const PUSHERS = 4
const DURATION_MS = 25_000
/** A slow machine needs longer until enough has happened. */
const MAX_DURATION_MS = 240_000
const TAGS_AT_LEAST = 5
/** Manifests expire while their index is still on its way, half of the time. */
const EXPIRY_MS = 300
const REPOSITORY = 'team/app'

const sandbox = useSandbox()

interface Descriptor {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
}

test('manifests expire and are pushed at the same time: no index that was taken lacks a part, ever', async () => {
  const rules = [
    { repositories: '**', tags: 'v*', keepLast: 5 },
    { repositories: '**', untagged: { olderThan: `${EXPIRY_MS}ms` } }
  ]
  const seed = await MeshNode.start(sandbox, {
    name: 'seed',
    role: 'seed',
    settings: { retention: { every: '0s', rules } }
  })
  const base = `${seed.registryUrl}/v2/${REPOSITORY}`
  const configBytes = Buffer.from('{}')
  const config = { mediaType: MEDIA_TYPE.ociConfig, digest: digestOf(configBytes), size: configBytes.length }
  await request(`${base}/blobs/uploads/?digest=${config.digest}`, { method: 'POST', body: configBytes })

  const put = async (
    reference: string,
    mediaType: string,
    manifest: object
  ): Promise<Descriptor & { status: number }> => {
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...manifest }))
    const digest = digestOf(body)
    const headers = { 'content-type': mediaType }
    const { status } = await request(`${base}/manifests/${reference || digest}`, { method: 'PUT', headers, body })
    return { digest, mediaType, size: body.length, status }
  }
  const image = (name: string, subject?: object) =>
    put('', MEDIA_TYPE.ociManifest, { config, layers: [], annotations: { name }, ...(subject && { subject }) })
  const statusOf = async (reference: string) =>
    (await request(`${base}/manifests/${reference}`, { method: 'HEAD' })).status
  const missingOf = async (parts: readonly Descriptor[]) => {
    const missing: Digest[] = []
    for (const { digest } of parts) if ((await statusOf(digest)) !== 200) missing.push(digest)
    return missing
  }

  const lacking: string[] = []
  const counts = { taken: 0, refused: 0, removed: 0 }
  const began = performance.now()
  const hasSeenAll = () => counts.taken >= TAGS_AT_LEAST && counts.refused > 0 && counts.removed > 0
  const goesOn = () => performance.now() - began < (hasSeenAll() ? DURATION_MS : MAX_DURATION_MS)

  /** Parts first, then after a while their index, as clients do. The same parts come again and again. */
  const push = async (pusher: number, random: Random) => {
    for (let round = 0; goesOn(); round++) {
      const names = [`shared ${round % 3}`, `of ${pusher} ${round % 5}`]
      const parts: Descriptor[] = []
      for (const name of names) {
        const { digest, mediaType, size } = await image(name)
        parts.push({ digest, mediaType, size })
      }
      // On a slow machine the parts are old by themselves: some indexes follow at once.
      await sleep(random.pick([0, random.fraction() * 2 * EXPIRY_MS]))
      const tag = `v${pusher}-${round}`
      const index = await put(tag, MEDIA_TYPE.ociIndex, { manifests: parts, annotations: { tag } })
      if (index.status !== 201) {
        counts.refused++
        continue
      }
      counts.taken++
      await image(`signature of ${tag}`, { digest: index.digest, mediaType: index.mediaType, size: index.size })
      const missing = await missingOf(parts)
      // As long as its tag is there, it lacks nothing.
      if ((await statusOf(tag)) === 200) lacking.push(...missing.map((digest) => `${tag} lacks ${digest}`))
    }
  }
  const token = (await readFile(join(seed.dataDirectory, 'admin.token'), 'utf8')).trim()
  const expire = async () => {
    while (goesOn()) {
      const { status, body } = await request(`${seed.adminUrl}/api/v1/retention/run`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: '{}'
      })
      expect(status, body.toString()).toBe(200)
      counts.removed += JSON.parse(body.toString()).counts.manifests
    }
  }
  const random = Random.printed()
  await Promise.all([expire(), ...Array.from({ length: PUSHERS }, (_, pusher) => push(pusher, random.fork()))])

  const { tags } = JSON.parse((await request(`${base}/tags/list`)).body.toString()) as { tags: string[] }
  for (const tag of tags) {
    const { status, body } = await request(`${base}/manifests/${tag}`)
    expect([tag, status]).toEqual([tag, 200])
    const missing = await missingOf(JSON.parse(body.toString()).manifests)
    lacking.push(...missing.map((digest) => `${tag} lacks ${digest}`))
  }
  expect(lacking).toEqual([])
  expect(tags.length).toBeGreaterThanOrEqual(TAGS_AT_LEAST)
  console.log(`indexes taken ${counts.taken}, refused ${counts.refused}; manifests removed ${counts.removed}`)
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(0)
})
