import { describe, expect, test } from 'vitest'
import { fakeHost } from '../testing/fake-host.ts'
import { type ContainerdOptions, planContainerd } from './containerd.ts'
import { takeOut } from './contribution.ts'
import { TomlText } from './toml-text.ts'
import { RESTART_CONTAINERD } from './wish.ts'

const CONFIG = '/etc/containerd/config.toml'
const ROOT = '/etc/containerd/certs.d'
const HOSTS = `${ROOT}/_default/hosts.toml`
const VERSION_2 = ['plugins', 'io.containerd.grpc.v1.cri', 'registry', 'config_path']
const VERSION_3 = ['plugins', 'io.containerd.cri.v1.images', 'registry', 'config_path']
const OPTIONS: ContainerdOptions = {
  mirror: 'http://127.0.0.1:5000',
  registries: [],
  tags: 'mesh',
  config: CONFIG,
  keepConfig: false
}

const plan = (files: Readonly<Record<string, string>>, options: Partial<ContainerdOptions> = {}) =>
  planContainerd(fakeHost(files), { ...OPTIONS, ...options })

/** A settings file as it comes to be, whose change is taken out again on the way. */
async function configured(base: string | undefined, options: Partial<ContainerdOptions> = {}, path = CONFIG) {
  const { wishes } = await plan(base === undefined ? {} : { [path]: base }, options)
  const wish = wishes.find((one) => one.path === path)
  const { text, contribution } = wish?.apply(base) ?? {}
  if (text !== undefined && contribution) expect(takeOut(text, contribution, path)).toBe(base ?? '')
  return text
}

describe('config_path', () => {
  test('is set in files of version 2 and of version 3', async () => {
    expect(new TomlText((await configured('version = 2\n')) ?? '', '').get(VERSION_2)).toBe(ROOT)
    expect(new TomlText((await configured('version = 3\n')) ?? '', '').get(VERSION_3)).toBe(ROOT)
  })

  test('is put into the section that is there', async () => {
    const base = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry] # here\n[plugins.other]\na = 1\n'
    expect(await configured(base)).toBe(
      `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry] # here\n  config_path = "${ROOT}"\n[plugins.other]\na = 1\n`
    )
  })

  test('takes the place of an empty one, as `containerd config default` prints it', async () => {
    const base =
      "version = 3\n[plugins]\n  [plugins.'io.containerd.cri.v1.images'.registry]\n    config_path = '' # none\n    [plugins.'io.containerd.cri.v1.images'.registry.mirrors]\n"
    expect(await configured(base)).toBe(base.replace("''", `"${ROOT}"`))
  })

  test('makes a file of a version that is known to whoever reads it', async () => {
    expect(new TomlText((await configured(undefined)) ?? '', '').value.version).toBe(2)
    expect(new TomlText((await configured(undefined, { major: 1 })) ?? '', '').value.version).toBe(2)
    expect(new TomlText((await configured(undefined, { major: 2 })) ?? '', '').value.version).toBe(3)
    expect(new TomlText((await configured('# nothing\n', { major: 2 })) ?? '', '').get(VERSION_2)).toBe(ROOT)
  })

  test('that is set says where hosts.toml goes, and stays', async () => {
    const base = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/opt/certs.d:/b"\n'
    const { wishes, notes } = await plan({ [CONFIG]: base })
    expect(wishes.map(({ path }) => path)).toEqual(['/opt/certs.d/_default/hosts.toml'])
    expect(notes.join()).toContain('containerd#12808')
    await expect(plan({ [CONFIG]: base }, { certsDir: ROOT })).rejects.toThrow(
      /look in \/opt\/certs\.d and \/b, not in/
    )
  })

  test('is set after hosts.toml, with a restart that is said', async () => {
    const { wishes } = await plan({ [CONFIG]: 'version = 2\n' })
    expect(wishes.map(({ path, renewal }) => [path, renewal])).toEqual([
      [HOSTS, undefined],
      [CONFIG, RESTART_CONTAINERD]
    ])
  })

  test('is left to others with --keep-config, and where nobody would read it', async () => {
    const kept = await plan({ [CONFIG]: 'version = 2\n' }, { keepConfig: true })
    expect(kept.wishes.map(({ path }) => path)).toEqual([HOSTS])
    expect(kept.notes.join()).toContain('containerd 1.x does not read')
    const keptByNewer = await plan({ [CONFIG]: 'version = 3\n' }, { keepConfig: true, major: 2 })
    expect(keptByNewer.notes.join()).toContain('containerd 2.2 and later, when they pull for Kubernetes, do not read')
    const disabled = await plan({ [CONFIG]: 'version = 2\ndisabled_plugins = ["cri"]\n' })
    expect(disabled.wishes.map(({ path }) => path)).toEqual([HOSTS])
    expect(disabled.notes.join()).toContain('CRI plugin is disabled')
  })

  test('is not set where containerd 2 reads the settings of Docker too', async () => {
    const files = { [CONFIG]: 'version = 3\n', '/etc/docker/certs.d/reg.example/ca.crt': '' }
    const { wishes, notes } = await plan(files, { major: 2, registries: ['docker.io'] })
    expect(wishes.map(({ path }) => path)).toEqual([`${ROOT}/docker.io/hosts.toml`])
    expect(notes.join()).toContain('/etc/docker/certs.d')
    await expect(plan(files, { major: 2 })).rejects.toThrow(/would hide those of/)
  })
})

describe('imports', () => {
  const main = 'version = 2\nimports = ["conf.d/*.toml", "/etc/containerd/absent.toml"]\n'

  test('are followed: a section that comes last is the one that counts', async () => {
    const imported = '[plugins."io.containerd.grpc.v1.cri"]\n  enable_selinux = true\n'
    const path = '/etc/containerd/conf.d/cri.toml'
    const earlier = `${main}[plugins."io.containerd.grpc.v1.cri".registry]\n`
    const { wishes } = await plan({ [CONFIG]: earlier, [path]: imported, '/etc/containerd/conf.d/README': '' })
    expect(wishes.map((wish) => wish.path)).toEqual([HOSTS, path])
    expect(new TomlText(wishes[1]?.apply(imported)?.text ?? '', '').get(VERSION_2)).toBe(ROOT)
  })

  test('may have set config_path already', async () => {
    const imported = '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/opt/certs.d"\n'
    const { wishes } = await plan({ [CONFIG]: main, '/etc/containerd/conf.d/a.toml': imported })
    expect(wishes.map(({ path }) => path)).toEqual(['/opt/certs.d/_default/hosts.toml'])
  })

  test('are merged key by key by containerd 2, so that a section without config_path hides none', async () => {
    const path = '/etc/containerd/conf.d/gpu.toml'
    for (const [version, section] of [
      [2, '"io.containerd.grpc.v1.cri"'],
      [3, '"io.containerd.cri.v1.images"'],
      [4, '"io.containerd.cri.v1.images"']
    ] as const) {
      const head = `version = ${version}\n`
      const first = `${head}imports = ["conf.d/*.toml"]\n[plugins.${section}.registry]\nconfig_path = "/opt/certs.d"\n`
      const files = { [CONFIG]: first, [path]: `${head}[plugins.${section}]\nsnapshotter = "native"\n` }
      const { wishes } = await plan(files, { major: 2 })
      expect(wishes.map((wish) => wish.path)).toEqual(['/opt/certs.d/_default/hosts.toml'])
      const emptied = { ...files, [path]: `${files[path]}[plugins.${section}.registry]\nconfig_path = ""\n` }
      expect((await plan(emptied, { major: 2 })).wishes.map((wish) => wish.path)).toEqual([HOSTS, path])
      // What reads version 3 is containerd 2; of version 2, containerd 1 may be the reader, where the section hides it.
      const unknown = await plan(files)
      expect(unknown.wishes.at(-1)?.path).toBe(version === 2 ? path : '/opt/certs.d/_default/hosts.toml')
    }
  })

  test('end where they come to a file again', async () => {
    await expect(plan({ [CONFIG]: `version = 2\nimports = ["${CONFIG}"]\n` })).resolves.toBeDefined()
  })
})

describe('hosts.toml', () => {
  test('has a time limit for connections from containerd 2 on', async () => {
    for (const [major, expected] of [
      [undefined, undefined],
      [1, undefined],
      [2, '1s']
    ] as const) {
      const { wishes } = await plan({}, major === undefined ? {} : { major })
      const { value } = new TomlText(wishes[0]?.apply(undefined)?.text ?? '', '')
      expect((value.host as Record<string, Record<string, unknown>>)[OPTIONS.mirror]?.dial_timeout).toBe(expected)
    }
  })
})

describe('refused is', () => {
  test('what has the older mirrors, with which containerd takes no config_path', async () => {
    const mirrors =
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["http://a"]\n'
    await expect(plan({ [CONFIG]: mirrors })).rejects.toThrow(
      /has registry\.mirrors \(docker\.io\), with which containerd/
    )
    const tls =
      'version = 3\n[plugins."io.containerd.cri.v1.images".registry.configs."reg".tls]\ninsecure_skip_verify = true\n'
    await expect(plan({ [CONFIG]: tls }, { keepConfig: true })).rejects.toThrow(/registry\.configs\.\*\.tls \(reg\)/)
    const imported = { [CONFIG]: 'version = 2\nimports = ["/a.toml"]\n', '/a.toml': mirrors }
    await expect(plan(imported)).rejects.toThrow(/^\/a\.toml has registry\.mirrors/)
  })

  test('a file of version 1, of a later one than is known, and one that another program writes', async () => {
    await expect(plan({ [CONFIG]: 'root = "/x"\n' })).rejects.toThrow(/containerd config migrate/)
    await expect(plan({ [CONFIG]: 'version = 9\n' })).rejects.toThrow(/only versions up to 4/)
    const generated = '# File generated by k3s. DO NOT EDIT. Use config.toml.tmpl instead.\nversion = 2\n'
    await expect(plan({ [CONFIG]: generated })).rejects.toThrow(/--keep-config/)
  })

  test('a section in a form that can not be added to', async () => {
    const inline = 'version = 2\n[plugins]\n"io.containerd.grpc.v1.cri" = { registry = {} }\n'
    await expect(configured(inline)).rejects.toThrow(/can not be changed safely/)
  })
})
