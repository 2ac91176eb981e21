import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentStore, openContentStore } from '@layermesh/content'
import { digestOf, MEDIA_TYPE, ownRepository, parseImageReference } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { storeActions } from '../admin/store-actions.ts'
import { ImagePins } from './image-pins.ts'

const APP = ownRepository('team/app')
const BYTES = Buffer.from('{}')
const DIGEST = digestOf(BYTES)
const { signal } = new AbortController()

let directory: string
let content: ContentStore
let pins: ImagePins
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layermesh-pins-'))
  content = await openContentStore(directory)
  const resolved = { digest: DIGEST, mediaType: MEDIA_TYPE.ociManifest, size: BYTES.length }
  pins = new ImagePins({
    content,
    tags: { resolve: async (_repository, tag) => (tag === '1' ? resolved : undefined) },
    manifests: {
      get: async (_repository, digest) => (digest === DIGEST ? { ...resolved, bytes: BYTES } : undefined)
    },
    now: () => 5_000
  })
})
afterEach(async () => {
  await content.close()
  await rm(directory, { recursive: true, force: true })
})

const pin = (text: string) => pins.add(parseImageReference(text), text, signal)
const unpin = (text: string) => pins.remove(parseImageReference(text), text)

it('pins what a reference means now, and takes that back by the reference or by the digest', async () => {
  const expected = { repository: APP, digest: DIGEST, reference: 'team/app:1', at: 5_000 }
  expect(await pin('team/app:1')).toEqual(expected)
  expect(await pins.list()).toEqual([expected])
  expect(await unpin('team/app:2')).toBe(0)
  expect(await unpin('team/app:1')).toBe(1)
  await pin('team/app:1')
  expect(await unpin(`team/app@${DIGEST}`)).toBe(1)
  expect(await pins.list()).toEqual([])
})

it('refuses to pin what nobody knows', async () => {
  await expect(pin('team/app:2')).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' })
  const other = digestOf(Buffer.from('other'))
  await expect(pin(`team/app@${other}`)).rejects.toMatchObject({ code: 'MANIFEST_UNKNOWN' })
  expect(await pins.list()).toEqual([])
})

it('is asked by the admin API, which says what is not pinned and when garbage is being collected already', async () => {
  const garbage = { collect: () => content.collectGarbage() }
  const [gc, list, add, remove] = storeActions({ garbage, pins })
  if (!gc || !list || !add || !remove) throw new Error('an action is missing')
  expect(await add.run({ reference: 'team/app:1' }, signal)).toMatchObject({ at: '1970-01-01T00:00:05.000Z' })
  expect(list.output.parse(await list.run({}, signal))).toHaveLength(1)
  expect(await remove.run({ reference: 'team/app:1' }, signal)).toEqual({ removed: 1 })
  await expect(remove.run({ reference: 'team/app:1' }, signal)).rejects.toMatchObject({ status: 404 })
  const running = gc.run({ dryRun: false }, signal)
  await expect(gc.run({ dryRun: false }, signal)).rejects.toMatchObject({ status: 409, code: 'BUSY' })
  expect(gc.output.parse(await running)).toMatchObject({ complete: true })
})
