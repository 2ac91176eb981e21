import { digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ArchiveFixture, entriesOf, LayoutFiles, named, type PackedEntry } from '../testing/archives.ts'
import { type OpenArchive, openArchive } from './open-archive.ts'

const CONTAINERD = 'io.containerd.image.name'

let fixture: ArchiveFixture
let archive: OpenArchive | undefined
beforeEach(async () => {
  fixture = await ArchiveFixture.create()
})
afterEach(async () => {
  await archive?.files.close()
  archive = undefined
  await fixture[Symbol.asyncDispose]()
})

async function open(path: string): Promise<OpenArchive> {
  archive = await openArchive(path)
  return archive
}

it.each(['directory', 'tar'])('reads an OCI layout from a %s: names, tags, children', async (kind) => {
  const layout = new LayoutFiles()
  const [a, b] = [layout.image('a'), layout.image('b')]
  const index = layout.indexOf([a, b])
  const whole = { annotations: { [CONTAINERD]: 'docker.io/library/b:2', 'org.opencontainers.image.ref.name': '2' } }
  const files = layout.finish([named(index, 'team/app:1'), named(index, 'latest'), { ...b, ...whole }, a])
  const opened = await open(kind === 'tar' ? await fixture.tar(entriesOf(files)) : await fixture.files(files))
  expect(opened.images).toEqual([
    { digest: index.digest, names: ['team/app:1'], tags: ['latest'] },
    { digest: b.digest, names: ['docker.io/library/b:2'], tags: [] },
    { digest: a.digest, names: [], tags: [] }
  ])
  expect([...opened.manifests.keys()].sort()).toEqual([a.digest, b.digest, index.digest].sort())
})

it('tells what is about an image from images: by its subject, and by the tag that cosign gives it', async () => {
  const layout = new LayoutFiles()
  const image = layout.image('a')
  const attached = layout.image('signature', { subject: image })
  const tagged = layout.image('cosign')
  const tag = `${image.digest.replace(':', '-')}.sig`
  const opened = await open(await fixture.files(layout.finish([named(image, 'a:1'), attached, named(tagged, tag)])))
  expect(opened.images).toHaveLength(1)
  expect(opened.referrers).toEqual([
    { digest: attached.digest, subject: image.digest },
    { digest: tagged.digest, subject: image.digest, tag }
  ])
})

it.each<[what: string, change: (manifest: string) => Record<string, string | undefined>]>([
  ['another version', () => ({ 'oci-layout': '{"imageLayoutVersion":"2.0.0"}' })],
  ['no index', () => ({ 'index.json': undefined })],
  ['an index that is none', () => ({ 'index.json': '{"schemaVersion":2,"config":{},"layers":[]}' })],
  ['an index that is no JSON', () => ({ 'index.json': '{' })],
  ['no manifest', (manifest) => ({ [manifest]: undefined })],
  ['a manifest of other bytes', (manifest) => ({ [manifest]: '{}' })]
])('refuses a layout with %s', async (_what, change) => {
  const layout = new LayoutFiles()
  const image = layout.image('a')
  const changed = { ...layout.finish([image]), ...change(`blobs/${image.digest.replace(':', '/')}`) }
  const files = Object.entries(changed).flatMap(([name, content]) => (content === undefined ? [] : [[name, content]]))
  const opened = openArchive(await fixture.files(Object.fromEntries(files)))
  await expect(opened).rejects.toMatchObject({ name: 'CliFailure', code: 'FAILED' })
})

/** What `docker save` wrote before it wrote OCI layouts. */
function dockerArchive(change: Partial<Record<'config' | 'layers' | 'tags', unknown>> = {}): PackedEntry[] {
  const layer = 'a tar, of sorts'
  const config = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(Buffer.from(layer))] }
  }
  const manifest = [
    {
      Config: 'c.json',
      RepoTags: change.tags ?? ['app:1', 'example.org/app:2'],
      Layers: change.layers ?? ['l/layer.tar']
    }
  ]
  return [
    [{ name: 'manifest.json' }, JSON.stringify(manifest)],
    [{ name: 'c.json' }, JSON.stringify(change.config ?? config)],
    [{ name: 'l/layer.tar' }, layer]
  ]
}

it('makes the manifest that an archive of docker save has not, of the layers as they are', async () => {
  const opened = await open(await fixture.tar(dockerArchive()))
  const [image] = opened.images
  expect(image?.names).toEqual(['docker.io/library/app:1', 'example.org/app:2'])
  const { manifest, bytes } = opened.manifests.get(image?.digest as never) ?? expect.fail()
  expect(digestOf(bytes)).toBe(image?.digest)
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    digest: digestOf(Buffer.from('a tar, of sorts')),
    size: 15
  }
  expect(manifest).toMatchObject({ config: { mediaType: MEDIA_TYPE.ociConfig }, layers: [layer] })
  expect(opened.fileOf(layer.digest)).toBe('l/layer.tar')
})

it('takes a layer that stands for another by a link, and one that is compressed', async () => {
  const gzip = Buffer.from('1f8b0800', 'hex')
  const plain = digestOf(Buffer.from('a tar, of sorts'))
  const config = { rootfs: { diff_ids: [plain, plain, plain] } }
  const opened = await open(
    await fixture.tar([
      ...dockerArchive({ config, layers: ['l/layer.tar', 'm/layer.tar', 'z.tar.gz'] }),
      [{ name: 'm/layer.tar', type: 'symlink', linkname: '../l/layer.tar' }],
      [{ name: 'z.tar.gz' }, gzip]
    ])
  )
  const [loaded] = opened.manifests.values()
  expect(loaded?.manifest).toMatchObject({
    layers: [{ digest: plain }, { digest: plain }, { mediaType: MEDIA_TYPE.ociLayerGzip, digest: digestOf(gzip) }]
  })
})

it.each<[what: string, change: Parameters<typeof dockerArchive>[0]]>([
  ['a layer that is not the one of the config', { config: { rootfs: { diff_ids: [`sha256:${'0'.repeat(64)}`] } } }],
  ['fewer layers than the config names', { layers: [] }],
  ['a layer that is not there', { layers: ['missing.tar'] }],
  ['a layer outside', { layers: ['../../etc/passwd'] }],
  ['a config that is none', { config: [] }],
  ['a name that is none', { tags: ['Not A Name'] }]
])('refuses an archive of docker save with %s', async (_what, change) => {
  await expect(openArchive(await fixture.tar(dockerArchive(change)))).rejects.toMatchObject({ name: 'CliFailure' })
})

it('reads the layout of an archive that is both, as newer Dockers write it', async () => {
  const layout = new LayoutFiles()
  const image = layout.image('a')
  const files = layout.finish([named(image, 'a:1')])
  const opened = await open(await fixture.tar([...dockerArchive(), ...entriesOf(files)]))
  expect(opened.images).toEqual([{ digest: image.digest, names: ['a:1'], tags: [] }])
})

it('says of what is neither that it is neither', async () => {
  await expect(openArchive(await fixture.tar([[{ name: 'a' }, 'x']]))).rejects.toThrow('neither an OCI layout nor')
  await expect(openArchive('/dev/null')).rejects.toThrow('neither a file nor a directory')
})
