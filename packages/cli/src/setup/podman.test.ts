import { describe, expect, test } from 'vitest'
import { fakeHost } from '../testing/fake-host.ts'
import { type PodmanOptions, PUBLIC_REGISTRIES, planPodman } from './podman.ts'
import { TomlText } from './toml-text.ts'

const CONFIG = '/etc/containers/registries.conf'
const FILE = `${CONFIG}.d/50-layermesh.conf`
const OPTIONS: PodmanOptions = {
  mirror: 'http://127.0.0.1:5000',
  registries: ['docker.io'],
  tags: 'mesh',
  config: CONFIG,
  force: false
}
const DOCKER_HUB = {
  prefix: 'docker.io',
  location: 'docker.io',
  mirror: [{ location: '127.0.0.1:5000/docker.io', insecure: true, 'pull-from-mirror': 'all' }]
}

const plan = (files: Readonly<Record<string, string>>, options: Partial<PodmanOptions> = {}) =>
  planPodman(fakeHost(files), { ...OPTIONS, ...options })

/** The registries of the file that comes to be. */
async function registriesOf(files: Readonly<Record<string, string>>, options: Partial<PodmanOptions> = {}) {
  const { wishes } = await plan(files, options)
  expect(wishes.map(({ path }) => path)).toEqual([FILE])
  return new TomlText(wishes[0]?.apply(undefined)?.text ?? '', '').value.registry as { prefix?: string }[]
}

describe('the file', () => {
  test('has the node asked first for a registry, and speaks to it without TLS', async () => {
    expect(await registriesOf({})).toEqual([{ location: 'localhost:5000', insecure: true }, DOCKER_HUB])
  })

  test('speaks TLS to a node that does, and leaves tags to the registry where that is asked for', async () => {
    const registries = await registriesOf({}, { mirror: 'https://mesh.example', tags: 'upstream' })
    const mirror = { location: 'mesh.example/docker.io', insecure: false, 'pull-from-mirror': 'digest-only' }
    expect(registries).toEqual([{ ...DOCKER_HUB, mirror: [mirror] }])
  })

  test('names the public registries when nobody names any', async () => {
    const prefixes = (await registriesOf({}, { registries: [] })).flatMap(({ prefix }) => prefix ?? [])
    expect(prefixes).toEqual(PUBLIC_REGISTRIES)
  })

  test('leaves out what the user has set, and says so', async () => {
    const files = {
      [CONFIG]: '[[registry]]\nlocation = "quay.io"\nblocked = true\n[[registry]]\nlocation = "localhost:5000"\n',
      [`${CONFIG}.d/99-own.conf`]: '[[registry]]\nprefix = "docker.io"\nlocation = "cache.example"\n'
    }
    const prefixes = (await registriesOf(files, { registries: [] })).map(({ prefix }) => prefix)
    expect(prefixes).toEqual(PUBLIC_REGISTRIES.filter((name) => !['docker.io', 'quay.io'].includes(name)))
    expect((await plan(files, { registries: [] })).notes.join()).toContain(`quay.io is set in ${CONFIG}`)
  })

  test('tells of what is set for parts of a registry', async () => {
    const files = { [CONFIG]: '[[registry]]\nprefix = "docker.io/library"\nlocation = "cache.example"\n' }
    expect((await plan(files)).notes.join()).toMatch(/docker\.io\/library is set in .*the node is not asked/)
  })
})

describe('refused is', () => {
  test('a registry by name that the user has set, since only the later of both would count', async () => {
    const files = { [CONFIG]: '[[registry]]\nlocation = "docker.io"\ninsecure = true\n' }
    await expect(plan(files)).rejects.toThrow(
      /docker\.io is set in .* already.*mirror = \[\{ location = "127\.0\.0\.1:5000\/docker\.io", insecure = true/
    )
  })

  test('a file of the same name that somebody else wrote, unless it is to be replaced', async () => {
    const { wishes } = await plan({})
    expect(() => wishes[0]?.apply('# mine\n')).toThrow(/was not written by layermesh setup/)
    const forced = await plan({}, { force: true })
    expect(forced.wishes[0]?.apply('# mine\n')?.text).toContain('docker.io')
    const text = wishes[0]?.apply(undefined)?.text
    expect(wishes[0]?.apply(text)).toBeUndefined()
  })

  test('settings of version 1, beside which podman takes no other file', async () => {
    await expect(plan({ [CONFIG]: '[registries.search]\nregistries = ["docker.io"]\n' })).rejects.toThrow(/version 1/)
    await expect(plan({ [CONFIG]: '[registries.search]\nregistries = []\n' })).resolves.toBeDefined()
  })
})
