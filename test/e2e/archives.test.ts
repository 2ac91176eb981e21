import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Descriptor, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { beforeAll, describe, expect, test } from 'vitest'
import { Containerd } from '../support/clients/containerd.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { HANG_MS, request } from '../support/http.ts'
import { writeDockerArchive } from '../support/images/docker-archive.ts'
import { type BuiltImage, buildImage, type ImageOptions } from '../support/images/image.ts'
import { LAYERMESH, MeshNode, type NodeOptions } from '../support/node.ts'
import { type RunResult, run, runOk } from '../support/process.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const MIB = 1024 * 1024
const OCI = ['oci', 'docker'] as const

const sandbox = useSandbox()
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed' })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed })
})

function build(name: string, options: Partial<ImageOptions> = {}): Promise<BuiltImage> {
  return buildImage(join(sandbox.directory, 'images', name), { name, ...options })
}

function layermesh(at: MeshNode, command: string, ...args: string[]): Promise<RunResult> {
  return run(LAYERMESH, [command, ...args, '--admin', at.adminUrl, '--data', at.dataDirectory])
}

async function succeed(at: MeshNode, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await layermesh(at, command, ...args)
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return stdout
}

/** The manifest that a tag means, as a node gives it. */
async function manifestOf(at: MeshNode, repository: string, tag = '1'): Promise<Buffer> {
  const { status, body } = await request(`${at.registryUrl}/v2/${repository}/manifests/${tag}`, {
    headers: { accept: Object.values(MEDIA_TYPE).join(', ') }
  })
  expect(status).toBe(200)
  return body
}

async function pack(directory: string, name: string, ...flags: string[]): Promise<string> {
  const path = join(sandbox.directory, name)
  await runOk('tar', [...flags, '-cf', path, '-C', directory, '.'])
  return path
}

describe('an OCI layout', () => {
  test.each(OCI)('is imported byte for byte, with all its platforms: %s', async (format) => {
    const image = await build(`layout-${format}`, { format })
    await succeed(node, 'import', image.layout.directory, '--as', `team/layout-${format}:1`)
    expect(await manifestOf(seed, `team/layout-${format}`)).toEqual(await image.layout.read(image.index))
  })

  test.each([
    ['tar', []],
    ['tar.gz', ['-z']]
  ] as const)('is imported from a %s', async (suffix, flags) => {
    const name = suffix.replace('.', '-')
    const image = await build(`packed-${name}`)
    const path = await pack(image.layout.directory, `packed.${suffix}`, ...flags)
    const told = await succeed(node, 'import', path, '--as', `team/packed-${name}:1`)
    expect(told).toContain(`team/packed-${name}:1 means ${image.index.digest}`)
    expect(await manifestOf(seed, `team/packed-${name}`)).toEqual(await image.layout.read(image.index))
  })

  test('is imported for one platform', async () => {
    const image = await build('one-platform')
    const [, other] = image.platforms
    const platform = `linux/${other.platform.architecture}`
    const args = ['--as', 'team/one-platform:1', '--platform', platform]
    await succeed(node, 'import', image.layout.directory, ...args)
    expect(await manifestOf(seed, 'team/one-platform')).toEqual(await image.layout.read(other.manifest))
  })

  test('comes out as it went in, the same each time and at each node, and goes in again', async () => {
    const image = await build('round')
    await succeed(seed, 'import', image.layout.directory, '--as', 'team/round:1')
    const paths = ['first.tar', 'second.tar'].map((name) => join(sandbox.directory, name))
    await succeed(seed, 'export', 'team/round:1', '-o', paths[0] ?? '')
    await succeed(node, 'export', 'team/round:1', '-o', paths[1] ?? '')
    const [first, second] = await Promise.all(paths.map((path) => readFile(path)))
    expect(digestOf(first ?? Buffer.of())).toBe(digestOf(second ?? Buffer.of()))

    const other = await MeshNode.start(sandbox, { name: 'far-away', role: 'seed' })
    await succeed(other, 'import', paths[0] ?? '')
    expect(await manifestOf(other, 'team/round')).toEqual(await image.layout.read(image.index))
    const directory = join(sandbox.directory, 'round-directory/')
    await succeed(other, 'export', 'team/round:1', '-o', directory)
    expect(await readFile(join(directory, 'blobs', image.index.digest.replace(':', '/')))).toEqual(
      await image.layout.read(image.index)
    )
    await succeed(other, 'import', directory, '--as', 'team/again:1')
    expect(await manifestOf(other, 'team/again')).toEqual(await image.layout.read(image.index))
  })
})

test('several images go into one archive and out of it, with what is about them', async () => {
  const images = await Promise.all(['several-a', 'several-b'].map((name) => build(name)))
  for (const [i, image] of images.entries()) {
    await succeed(seed, 'import', image.layout.directory, '--as', `team/several:${i}`)
  }
  const subject = (images[0] as BuiltImage).index
  const signature = await pushReferrer('team/several', subject)
  const path = join(sandbox.directory, 'several.tar')
  await succeed(seed, 'export', 'team/several:0', 'team/several:1', '--referrers', '-o', path)

  const other = await MeshNode.start(sandbox, { name: 'several', role: 'seed' })
  await succeed(other, 'import', path)
  for (const [i, image] of images.entries()) {
    expect(await manifestOf(other, 'team/several', String(i))).toEqual(await image.layout.read(image.index))
  }
  const { body } = await request(`${other.registryUrl}/v2/team/several/referrers/${subject.digest}`)
  expect(JSON.parse(body.toString()).manifests).toMatchObject([{ digest: signature }])
})

/** Something like a signature, as the API takes it. */
async function pushReferrer(repository: string, subject: Descriptor): Promise<string> {
  const empty = Buffer.from('{}')
  const config = { mediaType: MEDIA_TYPE.ociEmpty, digest: digestOf(empty), size: empty.length }
  const begun = await request(`${seed.registryUrl}/v2/${repository}/blobs/uploads/?digest=${config.digest}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: empty
  })
  expect(begun.status).toBe(201)
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      artifactType: 'application/vnd.example.signature',
      config,
      layers: [config],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size }
    })
  )
  const digest = digestOf(bytes)
  const put = await request(`${seed.registryUrl}/v2/${repository}/manifests/${digest}`, {
    method: 'PUT',
    headers: { 'content-type': MEDIA_TYPE.ociManifest },
    body: bytes
  })
  expect(put.status).toBe(201)
  return digest
}

describeWith(['docker', 'dockerd', 'containerd', 'runc', 'busybox'], 'docker', () => {
  let docker: Docker

  beforeAll(async () => {
    docker = await Docker.start(sandbox)
  })

  test('saves what is imported, by layers that are not compressed, and pulls and runs it', async () => {
    const image = await build('docker-save')
    await docker.load(await writeDockerArchive(image, sandbox.directory, 'team/docker-save:1'))
    const path = join(sandbox.directory, 'docker-save.tar')
    await docker.save(path, 'team/docker-save:1')
    expect(await layermesh(node, 'import', path)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/docker\.io\/team\/docker-save.*no seed is trusted/)
    })
    await succeed(node, 'import', path, '--as', 'team/docker-save')
    const reference = `${node.registryHost}/team/docker-save:1`
    await docker.remove('team/docker-save:1')
    await docker.pull(reference)
    expect(await docker.run(reference)).toBe(image.output)
  })

  test.each(OCI)('loads and runs what is exported: %s', async (format) => {
    const image = await build(`docker-load-${format}`, { format })
    await succeed(seed, 'import', image.layout.directory, '--as', `team/docker-load-${format}:1`)
    const path = join(sandbox.directory, `docker-load-${format}.tar`)
    await succeed(node, 'export', `team/docker-load-${format}:1`, '--format', 'docker', '-o', path)
    await docker.load(path)
    expect(await docker.run(`team/docker-load-${format}:1`)).toBe(image.output)
  })
})

describeWith(['podman', 'runc', 'busybox'], 'podman', () => {
  test('loads and runs what is exported, and pulls and runs an archive of the older kind that was imported', async () => {
    const podman = await Podman.create(sandbox)
    const image = await build('podman')
    const archive = await writeDockerArchive(image, sandbox.directory, 'example.org/team/podman:1')
    await succeed(node, 'import', archive, '--as', 'team/podman')
    const reference = `${node.registryHost}/team/podman:1`
    await podman.pull(reference)
    expect(await podman.run(reference)).toBe(image.output)

    const path = join(sandbox.directory, 'podman.tar')
    await succeed(node, 'export', reference, '--format', 'docker', '--as', 'localhost/exported:1', '-o', path)
    await podman.load(path)
    expect(await podman.run('localhost/exported:1')).toBe(image.output)
  })
})

describeWith(['skopeo'], 'skopeo', () => {
  test.each([
    ['oci', 'oci-archive'],
    ['docker', 'docker-archive']
  ] as const)('reads what is exported as %s', async (format, transport) => {
    const skopeo = await Skopeo.create(sandbox, `skopeo-${format}`)
    const image = await build(`skopeo-${format}`)
    await succeed(seed, 'import', image.layout.directory, '--as', `team/skopeo-${format}:1`)
    const path = join(sandbox.directory, `skopeo-${format}.tar`)
    await succeed(seed, 'export', `team/skopeo-${format}:1`, '--format', format, '-o', path)
    const manifest = await skopeo.read(`${transport}:${path}`)
    const expected = format === 'oci' ? await image.layout.read(image.index) : undefined
    if (expected) expect(manifest).toEqual(expected)
    else expect(JSON.parse(manifest.toString()).layers).toHaveLength(image.platforms[0].layers.length)
  })

  test('writes archives that are imported under the name that it gave them', async () => {
    const skopeo = await Skopeo.create(sandbox, 'skopeo-writes')
    const image = await build('skopeo-writes')
    const path = join(sandbox.directory, 'skopeo-writes.tar')
    await skopeo.write(image, `oci-archive:${path}:team/skopeo-writes:7`)
    await succeed(node, 'import', path)
    expect(await manifestOf(seed, 'team/skopeo-writes', '7')).toEqual(await image.layout.read(image.index))
  })
})

describeWith(['containerd', 'ctr', 'runc', 'busybox'], 'containerd', () => {
  test.each(OCI)('imports and runs what is exported: %s', async (format) => {
    const containerd = await Containerd.start(sandbox, `containerd-${format}`)
    const image = await build(`containerd-${format}`)
    await succeed(seed, 'import', image.layout.directory, '--as', `team/containerd-${format}:1`)
    const path = join(sandbox.directory, `containerd-${format}.tar`)
    await succeed(seed, 'export', `team/containerd-${format}:1`, '--format', format, '-o', path)
    await containerd.load(path)
    expect(await containerd.run(`docker.io/team/containerd-${format}:1`)).toBe(image.output)
  })
})

test('an image of another registry is imported where the seed may sign for that, and served by its name', async () => {
  const directory = join(sandbox.directory, 'mirroring')
  const peerId = (await runOk(LAYERMESH, ['keys', 'show', '--data', directory])).trim()
  const trust = [{ peerId, repositories: ['**', 'docker.io/library/*'] }]
  const start = (name: string, more: Partial<NodeOptions>) =>
    MeshNode.start(sandbox, { name, settings: { trust }, ...more })
  const mirroring = await start('mirroring', { role: 'seed' })
  const mirror = await start('mirror', { join: [mirroring] })
  const image = await build('mirrored')
  const archive = await writeDockerArchive(image, sandbox.directory, 'layermesh-imported:1')
  const told = await succeed(mirror, 'import', archive)
  expect(told).toContain('docker.io/library/layermesh-imported:1 means')
  const { status, body } = await request(`${mirror.registryUrl}/v2/library/layermesh-imported/manifests/1?ns=docker.io`)
  expect(status).toBe(200)
  expect(told).toContain(digestOf(body))
})

test('an import that is killed leaves no tag, and the next one sends only what is missing', async () => {
  const slow = await MeshNode.start(sandbox, { name: 'killed', role: 'seed' })
  const image = await build('killed', { noiseBytes: 96 * MIB })
  const args = ['import', image.layout.directory, '--as', 'team/killed:1', '--admin', slow.adminUrl, '--json']
  const killed = sandbox.start('import', LAYERMESH, args)
  await killed.waitForLine(/"heldBytes":[1-9][0-9]{6}/, HANG_MS)
  await killed.kill()
  expect((await request(`${slow.registryUrl}/v2/team/killed/manifests/1`)).status).toBe(404)
  const told = await succeed(slow, 'import', image.layout.directory, '--as', 'team/killed:1')
  expect(told).toContain(`team/killed:1 means ${image.index.digest}`)
  expect(await manifestOf(slow, 'team/killed')).toEqual(await image.layout.read(image.index))
})

test('an export that fails leaves nothing under its name', async () => {
  const path = join(sandbox.directory, 'failed.tar')
  const { code, stderr } = await layermesh(seed, 'export', 'team/nothing:1', '-o', path)
  expect([code, stderr]).toEqual([1, expect.stringContaining('team/nothing:1 was refused')])
  await expect(stat(path)).rejects.toThrow('ENOENT')
})
