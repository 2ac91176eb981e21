import { chmod, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { eventually, HANG_MS, request } from '../support/http.ts'
import { MeshNode } from '../support/node.ts'
import { describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'
import { Upstream } from '../support/upstream/upstream.ts'

/*
 * Each way to give a node credentials that needs no cloud, with a real registry that asks for them. What clouds add is
 * tested in packages/upstream/src/credentials.
 */

const HOST = 'private.example.com'
const KUBELET = 'credentialprovider.kubelet.k8s.io/v1'

const sandbox = useSandbox()

/** Puts a secret in the place of what was there, in one step. */
async function writeSecret(path: string, content: string): Promise<string> {
  await writeFile(`${path}.new`, content, { mode: 0o600 })
  await rename(`${path}.new`, path)
  return path
}

async function writeProgram(path: string, script: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
}

/** Ways to say who a node is; their files lie in a directory that is in its PATH too. */
const WAYS: Readonly<Record<string, (account: Upstream['account'], directory: string) => Promise<object>>> = {
  'a password file': async ({ username, password }, directory) => {
    return { username, passwordFile: await writeSecret(join(directory, 'password'), `${password}\n`) }
  },
  'a config.json': async ({ username, password }, directory) => {
    const auth = Buffer.from(`${username}:${password}`).toString('base64')
    const config = JSON.stringify({ auths: { [`https://${HOST}/v1/`]: { auth } } })
    return { dockerConfig: await writeSecret(join(directory, 'config.json'), config) }
  },
  'a credential helper': async ({ username, password }, directory) => {
    const answer = JSON.stringify({ ServerURL: HOST, Username: username, Secret: password })
    await writeProgram(join(directory, 'docker-credential-test'), `test "$(cat)" = ${HOST} && echo '${answer}'`)
    return { helper: 'test' }
  },
  'a kubelet plugin': async ({ username, password }, directory) => {
    const auth = { '*.example.com': { username, password } }
    const response = { apiVersion: KUBELET, kind: 'CredentialProviderResponse', cacheKeyType: 'Registry', auth }
    await writeProgram(join(directory, 'plugin'), `cat > /dev/null; echo '${JSON.stringify(response)}'`)
    const plugin = { name: 'plugin', matchImages: ['*.example.com'], defaultCacheDuration: '12h', apiVersion: KUBELET }
    const config = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers: [plugin] }
    const file = await writeSecret(join(directory, 'providers.yaml'), JSON.stringify(config))
    return { kubelet: { config: file, binDir: directory } }
  }
}

describeWith(['docker-registry', 'skopeo'], 'a registry that asks who is there', () => {
  let registries: Readonly<Record<'basic' | 'token', Upstream>>

  beforeAll(async () => {
    const start = (asks: 'basic' | 'token') => Upstream.start(sandbox, { name: asks, asks })
    registries = { basic: await start('basic'), token: await start('token') }
    for (const registry of Object.values(registries)) await registry.push('private/app:1')
    await registries.token.push('library/open:1')
  })

  async function startWith(name: string, upstream: Upstream, credentials: object, directory: string) {
    const settings = {
      upstreams: { registries: { [HOST]: upstream.settings({ credentials, clients: 'all' }) } },
      log: { level: 'trace', format: 'json' }
    }
    const env = { PATH: `${directory}:${process.env.PATH}` }
    return await MeshNode.start(sandbox, { name, role: 'seed', settings, env })
  }

  const statusOf = async (node: MeshNode, image = 'private/app') =>
    (await request(`${node.registryUrl}/v2/${HOST}/${image}/manifests/1`)).status

  test.each(Object.keys(WAYS))('takes a node for the account that it has by %s', async (way) => {
    for (const [asks, upstream] of Object.entries(registries)) {
      const name = `${way}-${asks}`.replaceAll(' ', '-')
      const directory = await sandbox.makeDirectory(`${name}-files`)
      const credentials = await WAYS[way]?.(upstream.account, directory)
      const node = await startWith(name, upstream, credentials ?? {}, directory)
      expect([asks, await statusOf(node)]).toEqual([asks, 200])
      const { username, password } = upstream.account
      for (const secret of [password, Buffer.from(`${username}:${password}`).toString('base64')]) {
        expect(node.process.log.find(new RegExp(secret))).toBeUndefined()
      }
      await node.stop()
    }
  })

  test('goes on being asked for what everybody may pull when a password is wrong, and takes the right one once it is there', async () => {
    const { token } = registries
    const directory = await sandbox.makeDirectory('rotated-files')
    const wrong = { ...token.account, password: 'wrong-password-of-the-test' }
    const credentials = await WAYS['a password file']?.(wrong, directory)
    const node = await startWith('rotated', token, credentials ?? {}, directory)
    expect(await statusOf(node)).toBe(404)
    expect(await statusOf(node, 'library/open')).toBe(200)
    expect(node.process.log.find(/wrong-password/)).toBeUndefined()
    await writeSecret(join(directory, 'password'), token.account.password)
    await eventually('the new password is used', HANG_MS, async () => (await statusOf(node)) === 200 || undefined)
  })
})
