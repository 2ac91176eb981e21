import { copyFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Authority, type CertificateFiles } from '../support/certificates.ts'
import { PUSHING_CLIENTS, REFUSED } from '../support/clients/pushing-clients.ts'
import { MeshNode } from '../support/node.ts'
import { describeUnless, describeWith, pathOf } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

/** An address of this machine beyond the loopback, where docker shows no certificates. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address

const sandbox = useSandbox()
let servers: Authority
let clients: Authority
let alice: CertificateFiles
let bob: CertificateFiles
/** One that says alice too, and that nobody trusts. */
let forged: CertificateFiles
let seed: MeshNode
let node: MeshNode

beforeAll(async () => {
  if (pathOf('openssl') === undefined || address === undefined) return
  servers = await Authority.create(sandbox, 'servers')
  clients = await Authority.create(sandbox, 'clients')
  const strangers = await Authority.create(sandbox, 'strangers')
  alice = await clients.issue('alice')
  bob = await clients.issue('bob')
  forged = await strangers.issue('alice')
  const settings = async (name: string) => ({
    registry: { tls: { ...(await servers.issue(name, address)), clientCa: clients.file } },
    access: {
      clientCertificates: { name: 'commonName' },
      rules: [
        {
          repositories: 'team/**',
          grant: [
            { users: ['alice'], actions: ['pull', 'create', 'update'] },
            { users: ['bob'], actions: ['pull'] }
          ]
        }
      ]
    }
  })
  const flags = ['--listen', `${address}:0`]
  seed = await MeshNode.start(sandbox, { name: 'seed', role: 'seed', flags, settings: await settings('seed') })
  node = await MeshNode.start(sandbox, { name: 'node', join: [seed], seed, flags, settings: await settings('node') })
})

/** `HOST:PORT`, as image names begin with it. */
function hostOf({ registryUrl }: MeshNode): string {
  return new URL(registryUrl).host
}

/** An `/etc/docker` by which docker shows a certificate to both nodes. */
async function dockerEtcOf(whose: string, { certificate, key }: CertificateFiles): Promise<string> {
  for (const host of [seed, node].map(hostOf)) {
    const directory = await sandbox.makeDirectory(join(`docker-etc-${whose}`, 'certs.d', host))
    await copyFile(servers.file, join(directory, 'ca.crt'))
    await copyFile(certificate, join(directory, 'client.cert'))
    await copyFile(key, join(directory, 'client.key'))
  }
  return await sandbox.makeDirectory(`docker-etc-${whose}`)
}

const missing = address === undefined ? 'needs an address beyond the loopback' : undefined

describeUnless(missing, 'a certificate', () => {
  for (const [name, { programs, create }] of Object.entries(PUSHING_CLIENTS)) {
    describeWith(['openssl', ...programs], name, () => {
      const clientOf = async (whose: string, files: CertificateFiles) => {
        const certificates = await servers.clientDirectory(`${name}-${whose}`, files)
        const dockerEtc = await dockerEtcOf(whose, files)
        return await create(sandbox, { name: `${name}-${whose}`, certificates, dockerEtc })
      }

      test('pushes to a seed with a certificate, and pulls at both, by the rights of its name', async () => {
        const client = await clientOf('alice', alice)
        await client.push(`${hostOf(seed)}/team/by-${name}:1`)
        for (const host of [seed, node].map(hostOf)) await client.pull(`${host}/team/by-${name}:1`)
        await expect(client.push(`${hostOf(seed)}/other/by-${name}:1`)).rejects.toThrow(REFUSED)
      })

      test('is refused at once to push through a node that is no seed, since a certificate can not be passed on', async () => {
        const client = await clientOf('alice-2', alice)
        await expect(client.push(`${hostOf(node)}/team/through-${name}:1`)).rejects.toThrow(REFUSED)
      })

      test('only pulls with the certificate of somebody who may do no more', async () => {
        const client = await clientOf('bob', bob)
        await client.pull(`${hostOf(node)}/team/by-${name}:1`)
        await expect(client.push(`${hostOf(seed)}/team/by-${name}:2`)).rejects.toThrow(REFUSED)
      })

      test('is nobody with a certificate that another authority signed', async () => {
        const client = await clientOf('forged', forged)
        for (const host of [seed, node].map(hostOf)) {
          await expect(client.pull(`${host}/team/by-${name}:1`)).rejects.toThrow(REFUSED)
        }
      })
    })
  }
})
