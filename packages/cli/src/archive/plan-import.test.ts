import { afterEach, beforeEach, expect, it } from 'vitest'
import { ArchiveFixture, LayoutFiles, named } from '../testing/archives.ts'
import { type OpenArchive, openArchive } from './open-archive.ts'
import { type ImportChoice, planImport } from './plan-import.ts'

let fixture: ArchiveFixture
beforeEach(async () => {
  fixture = await ArchiveFixture.create()
})
afterEach(() => fixture[Symbol.asyncDispose]())

async function open(layout: LayoutFiles, manifests: readonly object[]): Promise<OpenArchive> {
  return await openArchive(await fixture.files(layout.finish(manifests)))
}

function plan(archive: OpenArchive, choice: Partial<ImportChoice> = {}) {
  const withoutRegistry = (name: string) => name.replace(/^localhost:5000\//, '')
  return planImport(archive, { withoutRegistry, ...choice }).map(({ repository, blobs, manifests }) => ({
    repository,
    blobs: blobs.length,
    manifests: manifests.map(({ digest, tags }) => [digest, ...tags])
  }))
}

it('pushes children before their index, each part once, and by the names of the archive', async () => {
  const layout = new LayoutFiles()
  const [a, b] = [layout.image('a'), layout.image('b')]
  const index = layout.indexOf([a, b])
  const archive = await open(layout, [
    named(index, 'localhost:5000/team/app:1'),
    named(index, 'team/app:2'),
    named(a, 'docker.io/library/a:1')
  ])
  expect(plan(archive)).toEqual([
    { repository: 'team/app', blobs: 4, manifests: [[a.digest], [b.digest], [index.digest, '1', '2']] },
    { repository: 'docker.io/library/a', blobs: 2, manifests: [[a.digest, '1']] }
  ])
})

it('goes by --as, with the tag of the archive when that names none', async () => {
  const layout = new LayoutFiles()
  const image = layout.image('a')
  const archive = await open(layout, [named(image, '1.2')])
  expect(plan(archive, { as: 'team/b' })).toMatchObject([{ repository: 'team/b', manifests: [[image.digest, '1.2']] }])
  expect(plan(archive, { as: 'localhost:5000/team/b:3' })).toMatchObject([
    { repository: 'team/b', manifests: [[image.digest, '3']] }
  ])
  expect(() => plan(archive)).toThrow('tagged 1.2, has no name in the archive')
  expect(() => plan(archive, { as: `team/b@${image.digest}` })).toThrow('no digest')
  expect(() => plan(archive, { as: 'Not A Name' })).toThrow('names no image')
})

it('chooses among several images', async () => {
  const layout = new LayoutFiles()
  const [a, b] = [layout.image('a'), layout.image('b')]
  const archive = await open(layout, [named(a, 'a:1'), named(b, 'b:1')])
  expect(() => plan(archive, { as: 'team/x:1' })).toThrow('choose one with --image; it holds a:1, b:1')
  const chosen = plan(archive, { as: 'team/x:1', image: 'b:1' })
  expect(chosen).toMatchObject([{ repository: 'team/x', manifests: [[b.digest, '1']] }])
  expect(plan(archive, { image: a.digest })).toMatchObject([{ repository: 'a' }])
  expect(() => plan(archive, { image: 'c:1' })).toThrow('holds no image c:1')
})

it('takes one platform out of an index, also where the others are not there', async () => {
  const layout = new LayoutFiles()
  const [amd64, arm64] = [layout.image('amd64'), layout.image('arm64')]
  const on = (architecture: string) => ({ platform: { os: 'linux', architecture } })
  const index = layout.indexOf([
    { ...amd64, ...on('amd64') },
    { ...arm64, ...on('arm64') }
  ])
  delete layout.files[`blobs/${arm64.digest.replace(':', '/')}`]
  const archive = await open(layout, [named(index, 'a:1')])
  expect(() => plan(archive)).toThrow(
    `does not hold the image for linux/arm64 that its index names (${arm64.digest}); import one that it holds with --platform linux/amd64`
  )
  const platform = { os: 'linux', architecture: 'amd64' }
  expect(plan(archive, { platform })).toMatchObject([{ manifests: [[amd64.digest, '1']] }])
  expect(() => plan(archive, { platform: { ...platform, architecture: 'arm64' } })).toThrow('for linux/arm64')
})

it('brings what is about an image along, and what is about that', async () => {
  const layout = new LayoutFiles()
  const [image, other] = [layout.image('a'), layout.image('b')]
  const signature = layout.image('signature', { subject: image })
  const onSignature = layout.image('on-signature', { subject: signature })
  const tag = `${image.digest.replace(':', '-')}.sig`
  const cosign = layout.image('cosign')
  const archive = await open(layout, [
    named(image, 'a:1'),
    named(other, 'b:1'),
    onSignature,
    signature,
    named(cosign, tag)
  ])
  const [a, b] = plan(archive)
  expect(a?.manifests.map(([digest]) => digest)).toEqual([
    image.digest,
    signature.digest,
    cosign.digest,
    onSignature.digest
  ])
  expect(a?.manifests[2]).toEqual([cosign.digest, tag])
  expect(b?.manifests).toEqual([[other.digest, '1']])
})
