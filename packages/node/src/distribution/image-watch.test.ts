import { type Digest, digestOf, MEDIA_TYPE, ownRepository } from '@layermesh/oci'
import { expect, it } from 'vitest'
import { ImageWatch, type ImageWatchOptions } from './image-watch.ts'

const repository = ownRepository('team/app')
const CONFIG = digestOf(Buffer.from('config'))
const LAYER = digestOf(Buffer.from('layer'))

const descriptor = (mediaType: string, digest: Digest) => ({ mediaType, digest, size: 1 })
const IMAGE = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptor(MEDIA_TYPE.ociConfig, CONFIG),
    layers: [descriptor(MEDIA_TYPE.ociLayerGzip, LAYER)]
  })
)
const INDEX = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [descriptor(MEDIA_TYPE.ociManifest, LAYER)]
  })
)
const DIGEST = digestOf(IMAGE)

function make(options: Partial<ImageWatchOptions> = {}) {
  const here = new Set<Digest>()
  const told: Digest[] = []
  const state = { now: 0, isSeedThere: true }
  const watch = new ImageWatch(
    {
      isHere: async (digest) => here.has(digest),
      tell: async (_repository, digest) => {
        if (state.isSeedThere) told.push(digest)
        return state.isSeedThere
      },
      onFailure: (error) => expect.fail(String(error)),
      now: () => state.now
    },
    options
  )
  return { watch, here, told, state }
}

it('tells of an image once all that it names is here, and once only', async () => {
  const { watch, here, told } = make()
  watch.watch(repository, DIGEST, IMAGE)
  here.add(CONFIG)
  await watch.check()
  expect(told).toEqual([])
  here.add(LAYER)
  await watch.check()
  watch.watch(repository, DIGEST, IMAGE)
  await watch.check()
  expect(told).toEqual([DIGEST])
})

it('tells later when no seed is connected', async () => {
  const { watch, here, told, state } = make()
  watch.watch(repository, DIGEST, IMAGE)
  here.add(CONFIG).add(LAYER)
  state.isSeedThere = false
  await watch.check()
  state.isSeedThere = true
  await watch.check()
  expect(told).toEqual([DIGEST])
})

it('does not wait for what is no image, nor for ever', async () => {
  const { watch, here, told, state } = make({ giveUpAfterMs: 1_000 })
  watch.watch(repository, digestOf(INDEX), INDEX)
  watch.watch(repository, CONFIG, Buffer.from('config'))
  watch.watch(repository, DIGEST, IMAGE)
  state.now = 1_001
  await watch.check()
  here.add(CONFIG).add(LAYER)
  await watch.check()
  expect(told).toEqual([])
})

it('forgets those that were asked for longest ago when there are too many', async () => {
  const { watch, here, told } = make({ maxOpen: 2 })
  const digests = ['a', 'b', 'c'].map((text) => digestOf(Buffer.from(text)))
  for (const digest of digests) watch.watch(repository, digest, IMAGE)
  here.add(CONFIG).add(LAYER)
  await watch.check()
  expect(told.toSorted()).toEqual(digests.slice(1).toSorted())
})
