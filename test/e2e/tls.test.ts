import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { digestOf } from '@layermesh/oci'
import { beforeAll, expect, test } from 'vitest'
import { Authority, type CertificateFiles } from '../support/certificates.ts'
import { Docker } from '../support/clients/docker.ts'
import { Podman } from '../support/clients/podman.ts'
import { Skopeo } from '../support/clients/skopeo.ts'
import { eventually, HANG_MS } from '../support/http.ts'
import { writeDockerArchive } from '../support/images/docker-archive.ts'
import { type BuiltImage, buildImage } from '../support/images/image.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith, pathOf } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const sandbox = useSandbox()
let authority: Authority
let clients: Authority
let alice: CertificateFiles
let image: BuiltImage
let seeds = 0

async function startSeed(tls: object = {}): Promise<MeshNode> {
  seeds += 1
  const files = await authority.issue(`server-${seeds}`)
  return MeshNode.start(sandbox, {
    name: `seed-${seeds}`,
    role: 'seed',
    settings: { registry: { tls: { ...files, ...tls } } }
  })
}

beforeAll(async () => {
  image = await buildImage(join(sandbox.directory, 'image'), { name: 'secured' })
  if (pathOf('openssl') === undefined) return
  authority = await Authority.create(sandbox, 'servers')
  clients = await Authority.create(sandbox, 'clients')
  alice = await clients.issue('alice')
})

describeWith(['openssl', 'skopeo'], 'a registry over TLS', () => {
  test('takes and gives images to skopeo, which trusts its authority and no other', async () => {
    const seed = await startSeed()
    expect(seed.registryUrl).toMatch(/^https:/)
    const skopeo = await Skopeo.create(sandbox, 'trusting', await authority.clientDirectory('trusting'))
    await skopeo.push(image, `${seed.registryHost}/team/app:1`)
    expect(digestOf(await skopeo.pull(`${seed.registryHost}/team/app:1`))).toBe(image.index.digest)
    const stranger = await Skopeo.create(sandbox, 'stranger', await clients.clientDirectory('stranger'))
    await expect(stranger.inspectRaw(`${seed.registryHost}/team/app:1`)).rejects.toThrow(/x509|certificate/)
  })

  test('that requires certificates of clients serves only those who have one', async () => {
    const seed = await startSeed({ clientCa: clients.file, requireClientCertificate: true })
    const known = await Skopeo.create(sandbox, 'known', await authority.clientDirectory('known', alice))
    await known.push(image, `${seed.registryHost}/team/app:1`)
    const unknown = await Skopeo.create(sandbox, 'unknown', await authority.clientDirectory('unknown'))
    await expect(unknown.inspectRaw(`${seed.registryHost}/team/app:1`)).rejects.toThrow(/certificate required|tls/)
  })

  test('takes new certificates while it runs', async () => {
    const live = { certificate: join(sandbox.directory, 'live.crt'), key: join(sandbox.directory, 'live.key') }
    const install = async (files: CertificateFiles) => {
      await copyFile(files.certificate, live.certificate)
      await copyFile(files.key, live.key)
    }
    await install(await authority.issue('before'))
    const seed = await startSeed(live)
    const shown = () => subjectAt(Number(new URL(seed.registryUrl).port))
    expect(await shown()).toBe('before')
    await install(await authority.issue('after'))
    await eventually('the new certificate', HANG_MS, async () => (await shown()) === 'after' || undefined)
    const expiry = await seed.metric('layermesh_tls_certificate_expiry_timestamp_seconds')
    expect(expiry * 1000).toBeGreaterThan(Date.now())
  })
})

describeWith(['openssl', 'podman', 'runc'], 'podman over TLS', () => {
  test('pushes and pulls, with a certificate of its own', async () => {
    const seed = await startSeed({ clientCa: clients.file, requireClientCertificate: true })
    const podman = await Podman.create(sandbox, 'podman', [], await authority.clientDirectory('podman', alice))
    const reference = `${seed.registryHost}/team/by-podman:1`
    await podman.load(await writeDockerArchive(image, sandbox.directory, reference))
    await podman.push(reference)
    await podman.pull(reference)
  })
})

describeWith(['openssl', 'docker', 'dockerd', 'containerd', 'runc'], 'docker over TLS', () => {
  test('pushes and pulls', async () => {
    const seed = await startSeed()
    const docker = await Docker.start(sandbox)
    const reference = `${seed.registryHost}/team/by-docker:1`
    await docker.load(await writeDockerArchive(image, sandbox.directory, reference))
    await docker.push(reference)
    await docker.pull(reference)
  })
})

/** The common name in the certificate of whoever listens there. */
async function subjectAt(port: number): Promise<string | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
    resolve(String(socket.getPeerCertificate().subject.CN))
    socket.destroy()
  })
  socket.on('error', reject)
  return await promise
}
