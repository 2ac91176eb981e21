import { appendFile, copyFile, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { createContainersHome } from '../support/clients/containers-home.ts'
import { writeDockerArchive } from '../support/images/docker-archive.ts'
import { buildImage } from '../support/images/image.ts'
import { HostShell } from '../support/network/host-shell.ts'
import { whyNoNetwork } from '../support/network/namespace.ts'
import { Network } from '../support/network/network.ts'
import { LAYERMESH } from '../support/node.ts'
import { describeUnless, describeWith } from '../support/requirements.ts'
import { useSandbox } from '../support/sandbox.ts'

const PAGE = new URL('../../deploy/secured/', import.meta.url)
const IMAGE = 'registry.example:5000/team/app:v1'
const RATE = 1e9

const sandbox = useSandbox()
const noNetwork = await whyNoNetwork()

/** The shell blocks of the page, by the number of their section. */
async function readPage(): Promise<Map<number, string[]>> {
  const text = await readFile(new URL('README.md', PAGE), 'utf8')
  const sections = text.split(/^## /m).slice(1)
  return new Map(
    sections.map((section) => [
      Number.parseInt(section, 10),
      [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, block = '']) => block)
    ])
  )
}

/** A host with `docker`, which is podman here, and the files that the page has it get. */
async function addHost(network: Network, name: string, on: Awaited<ReturnType<Network['addSwitch']>>) {
  const host = await network.addHost(on, name, RATE)
  const home = await createContainersHome(sandbox, `containers-${name}`)
  await appendFile(
    join(home.directory, 'registries.conf'),
    '[[registry]]\nlocation = "localhost:5000"\ninsecure = true\n'
  )
  const bin = await sandbox.makeDirectory(`bin-${name}`)
  await writeFile(join(bin, 'docker'), '#!/bin/sh\nexec podman "$@"\n', { mode: 0o755 })
  const directory = await sandbox.makeDirectory(`work-${name}`)
  const env = {
    ...home.env,
    PATH: `${bin}:${dirname(LAYERMESH)}:${process.env.PATH}`,
    ALICES_PASSWORD: 'correct horse'
  }
  const shell = await HostShell.start(sandbox, host, { directory, env })
  await shell.run(`mkdir -p /etc/containers && cp '${home.policyFile}' /etc/containers/policy.json`)
  return { shell, directory, address: host.address }
}

let page: Map<number, string[]>
beforeAll(async () => {
  page = await readPage()
})

describeUnless(noNetwork, 'the page on a secured mesh', () => {
  describeWith(['podman', 'openssl'], 'of deploy/secured', () => {
    test('works as it stands there, from keys to a pull', async () => {
      const network = await Network.create(sandbox, 'lmsec')
      const on = await network.addSwitch('switch')
      const seed = await addHost(network, 'seed', on)
      const node = await addHost(network, 'node', on)
      const mine = await addHost(network, 'mine', on)
      const hosts = [seed, node, mine]
      for (const { shell } of hosts) await shell.run(`echo '${seed.address} registry.example' >> /etc/hosts`)
      const block = (number: number, index = 0): string =>
        page.get(number)?.[index] ?? expect.fail(`no block ${number}`)
      const copy = (file: string, from: { directory: string }, to: { directory: string }) =>
        copyFile(join(from.directory, file), join(to.directory, file))

      for (const file of ['seed.yaml', 'node.yaml']) await copyFile(new URL(file, PAGE), join(mine.directory, file))
      await mine.shell.run(block(1))
      for (const [to, settings, ...files] of [
        [seed, 'seed.yaml', 'secret', 'users', 'registry.pem', 'registry.key'],
        [node, 'node.yaml', 'secret']
      ] as const) {
        await to.shell.run('mkdir -p /etc/layermesh')
        await to.shell.run(`cp '${join(mine.directory, settings)}' /etc/layermesh/layermesh.yaml`)
        for (const file of files) await to.shell.run(`cp -p '${join(mine.directory, file)}' /etc/layermesh/`)
      }

      await seed.shell.run(block(2), { ready: /ready/ })
      await copy('seed.peer', seed, mine)
      await mine.shell.run(block(3))
      await copy('seeds', mine, seed)
      await seed.shell.run(block(4))
      await copy('pull.key', seed, node)
      await node.shell.run(block(5), { ready: /ready/ })

      const image = await buildImage(join(mine.directory, 'image'), { name: 'app' })
      const archive = await writeDockerArchive(image, mine.directory, IMAGE)
      await mine.shell.run(`docker load --quiet --input '${archive}'`)
      const certificates = '/etc/containers/certs.d/registry.example:5000'
      await mine.shell.run(`mkdir -p ${certificates} && cp ca.pem ${certificates}/ca.crt`)
      await expect(mine.shell.run(`docker push ${IMAGE}`)).rejects.toThrow(/log in|unauthorized|authentication/i)
      await mine.shell.run(block(6, 0))

      const pull = 'docker pull localhost:5000/team/app:v1'
      await expect(node.shell.run(pull)).rejects.toThrow(/unauthorized|authentication required|log in/i)
      await node.shell.run(block(6, 1))
      expect(await node.shell.run('docker run --rm --pull=never --network=none localhost:5000/team/app:v1')).not.toBe(
        ''
      )
      const history = await seed.shell.run('layermesh history team/app:v1 --data /var/lib/layermesh --json')
      expect(JSON.parse(history)).toMatchObject([{ actor: 'alice' }])
    })
  })
})
