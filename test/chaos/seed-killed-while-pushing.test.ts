import { setTimeout as sleep } from 'node:timers/promises'
import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { expect, test } from 'vitest'
import { request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { useSandbox } from '../support/sandbox.ts'
import type { KnownBlob } from './support/known-blob.ts'
import { type CutUpload, type PushedManifest, Pusher } from './support/pusher.ts'
import { Random } from './support/random.ts'

const ROUNDS = 8
const PUSHERS = 4
/** A round ends so many acknowledgements after its start at most, and so long after the last of them. */
const MAX_ACKNOWLEDGED = 30
const MAX_DELAY_MS = 20

const sandbox = useSandbox()

test('a seed that is killed again and again while clients push keeps all that it acknowledged', async () => {
  const random = Random.printed()
  const seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  let acknowledged = 0
  let killAt = Promise.withResolvers<void>()
  let left = 0
  const onAcknowledged = () => {
    acknowledged++
    if (--left === 0) killAt.resolve()
  }
  const pushers = Array.from({ length: PUSHERS }, (_, i) => new Pusher(`p${i}`, random.fork(), onAcknowledged))
  const cut = { resumed: 0, forgotten: 0 }

  for (let round = 1; round <= ROUNDS; round++) {
    killAt = Promise.withResolvers()
    left = random.integer(1, MAX_ACKNOWLEDGED)
    const known = pushers.map(({ blobs, manifests }) => ({ blobs: blobs.length, manifests: manifests.length }))
    const pushing = Promise.all(pushers.map((pusher) => pusher.pushUntilGone(seed.registryUrl)))
    await Promise.race([killAt.promise, pushing])
    // Not to wait for anything: the moment of the fault.
    await sleep(random.integer(0, MAX_DELAY_MS))
    await seed.kill()
    const uploads = await pushing
    await seed.restart()

    for (const [i, pusher] of pushers.entries()) {
      await expectKept(seed, pusher, pusher.blobs.slice(known[i]?.blobs), pusher.manifests.slice(known[i]?.manifests))
      const upload = uploads[i]
      if (upload !== undefined) cut[await goOn(seed, pusher, upload)]++
    }
  }

  for (const pusher of pushers) {
    await pusher.pushImage(seed.registryUrl)
    await expectKept(seed, pusher, pusher.blobs, pusher.manifests)
  }
  console.log(`${acknowledged} acknowledged; of the uploads cut off ${cut.resumed} resumed, ${cut.forgotten} forgotten`)
  expect(cut.resumed + cut.forgotten).toBeGreaterThan(0)
})

/** What was cut off is not there, or all of it is; the client can go on with it, or is told that it can't. */
async function goOn(seed: MeshNode, pusher: Pusher, upload: CutUpload): Promise<'resumed' | 'forgotten'> {
  const { status, whole } = await upload.blob.pull(seed).end
  expect(status === 404 || whole).toBe(true)
  if (!(await pusher.resume(seed.registryUrl, upload))) return 'forgotten'
  expect(await upload.blob.pull(seed).end).toMatchObject({ status: 200, whole: true })
  return 'resumed'
}

/** Everything that was acknowledged is there, byte for byte, and each tag means what it may. */
async function expectKept(
  seed: MeshNode,
  pusher: Pusher,
  blobs: readonly KnownBlob[],
  manifests: readonly PushedManifest[]
): Promise<void> {
  const base = `${seed.registryUrl}/v2/${pusher.repository}/manifests`
  const headers = { Accept: MEDIA_TYPE.ociManifest }
  for (const blob of blobs) expect(await blob.pull(seed).end, blob.digest).toMatchObject({ status: 200, whole: true })
  for (const { digest, bytes } of manifests) {
    const { status, body } = await request(`${base}/${digest}`, { headers })
    expect([status, body.equals(bytes)], digest).toEqual([200, true])
  }
  for (const [tag, meanings] of pusher.tags()) {
    const { status, body } = await request(`${base}/${tag}`, { headers })
    const means = status === 200 ? digestOf(body) : undefined
    expect(meanings, `${pusher.repository}:${tag}`).toContain(means)
    pusher.sawTag(tag, means)
  }
}
