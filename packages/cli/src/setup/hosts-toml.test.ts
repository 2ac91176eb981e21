import { describe, expect, test } from 'vitest'
import { fakeHost } from '../testing/fake-host.ts'
import { takeOut } from './contribution.ts'
import { type HostsOptions, planHosts } from './hosts-toml.ts'
import { TomlText } from './toml-text.ts'

const ROOT = '/etc/containerd/certs.d'
const DOCKER = '/etc/docker/certs.d'
const MIRROR = 'http://127.0.0.1:5000'
const OPTIONS: HostsOptions = { client: 'containerd', mirror: MIRROR, registries: [], tags: 'mesh', roots: [ROOT] }

const plan = (files: Readonly<Record<string, string>>, options: Partial<HostsOptions> = {}) =>
  planHosts(fakeHost(files), { ...OPTIONS, ...options })

/** What a file comes to be. */
async function applied(base: string | undefined, options: Partial<HostsOptions> = {}) {
  const { wishes } = await plan(base === undefined ? {} : { [`${ROOT}/_default/hosts.toml`]: base }, options)
  return wishes[0]?.apply(base)
}

describe('one file for all registries', () => {
  test('names the node, and no server, which would send all registries to one place', async () => {
    const { wishes } = await plan({})
    expect(wishes.map(({ path }) => path)).toEqual([`${ROOT}/_default/hosts.toml`])
    const text = wishes[0]?.apply(undefined)?.text ?? ''
    expect(new TomlText(text, '').value).toEqual({ host: { [MIRROR]: { capabilities: ['pull', 'resolve'] } } })
  })

  test('leaves tags to the registry where that is asked for', async () => {
    const { text = '' } = (await applied(undefined, { tags: 'upstream' })) ?? {}
    expect(new TomlText(text, '').value).toEqual({ host: { [MIRROR]: { capabilities: ['pull'] } } })
  })

  test('says how long to wait for a connection only to those who know that key', async () => {
    const { text = '' } = (await applied(undefined, { dialTimeout: '1s' })) ?? {}
    expect(new TomlText(text, '').get(['host', MIRROR, 'dial_timeout'])).toBe('1s')
  })

  test('keeps what is there, with the node before other hosts and behind keys of the top', async () => {
    const base =
      'server = "https://up.example" # ours\n\n# the old cache\n[host."http://cache:5000"]\n  capabilities = ["pull"]\n'
    const { text, contribution } = (await applied(base)) ?? { text: '', contribution: undefined }
    const { value } = new TomlText(text, '')
    expect(Object.keys(value.host as object)).toEqual([MIRROR, 'http://cache:5000'])
    expect(value.server).toBe('https://up.example')
    expect(text.startsWith('server = "https://up.example" # ours\n\n# Made by')).toBe(true)
    expect(text.endsWith('\n\n# the old cache\n[host."http://cache:5000"]\n  capabilities = ["pull"]\n')).toBe(true)
    expect(contribution && takeOut(text, contribution, '')).toBe(base)
  })

  test('goes behind a last line without its end', async () => {
    const { text = '' } = (await applied('server = "https://up.example"')) ?? {}
    expect(new TomlText(text, '').value).toMatchObject({ server: 'https://up.example', host: { [MIRROR]: {} } })
  })

  test('tells of registries with settings of their own, which do not ask the node', async () => {
    const { notes } = await plan({ [`${ROOT}/quay.io/hosts.toml`]: '', [`${ROOT}/reg_5000_/ca.crt`]: '' })
    expect(notes.join()).toMatch(/^quay\.io, reg_5000_: settings of their own/)
  })

  test('is left as it is where it says the same already', async () => {
    expect(await applied(`[host."${MIRROR}"]\ncapabilities = ["pull", "resolve"]\n`)).toBeUndefined()
  })
})

describe('a file for each registry', () => {
  test('goes where containerd looks first, or where one is', async () => {
    const registries = ['docker.io', 'reg.example:5000', 'other.example:6000']
    const { wishes } = await plan({ [`${ROOT}/reg.example_5000_/hosts.toml`]: '' }, { registries })
    expect(wishes.map(({ path }) => path)).toEqual([
      `${ROOT}/docker.io/hosts.toml`,
      `${ROOT}/reg.example_5000_/hosts.toml`,
      `${ROOT}/other.example:6000/hosts.toml`
    ])
  })

  test('goes to the directory that has one, of several', async () => {
    const files = { [`${DOCKER}/docker.io/hosts.toml`]: '' }
    const { wishes } = await plan(files, { registries: ['docker.io'], roots: [ROOT, DOCKER] })
    expect(wishes.map(({ path }) => path)).toEqual([`${DOCKER}/docker.io/hosts.toml`])
  })
})

describe('refused is', () => {
  test('a file for one registry that would hide those for all', async () => {
    const files = { [`${ROOT}/_default/hosts.toml`]: '[host."http://cache:5000"]\n' }
    await expect(plan(files, { registries: ['docker.io'] })).rejects.toThrow(/would hide; leave out --registry/)
  })

  test('a file for all registries that would hide those of a later directory', async () => {
    const files = { [`${DOCKER}/reg.example/ca.crt`]: '' }
    await expect(plan(files, { roots: [ROOT, DOCKER] })).rejects.toThrow(/would hide those of .*\(reg\.example\)/)
  })

  test('a file beside certificates, which would not be read any more', async () => {
    const files = { [`${ROOT}/reg.example/ca.crt`]: '' }
    await expect(plan(files, { registries: ['reg.example'] })).rejects.toThrow(/has certificates \(ca\.crt\)/)
  })

  test('a node that is named in another way already', async () => {
    const other = `[host."${MIRROR}"]\ncapabilities = ["pull", "push"]\n`
    await expect(applied(other)).rejects.toThrow(/in another way than it would be written here/)
    const second = `[host."http://a"]\n[host."${MIRROR}"]\ncapabilities = ["pull", "resolve"]\n`
    await expect(applied(second)).rejects.toThrow(/in another way/)
  })

  test('a file that another program writes anew', async () => {
    const generated = '# File generated by k3s. DO NOT EDIT.\n\n[host."http://a"]\n'
    await expect(applied(generated)).rejects.toThrow(/in the settings of that program, such as registries\.yaml of k3s/)
  })

  test('hosts in a form that can not be added to', async () => {
    await expect(applied('host = { "http://a" = { capabilities = ["pull"] } }\n')).rejects.toThrow()
  })

  test('what is no TOML, with the line', async () => {
    await expect(applied('a = 1\nb = = 2\n')).rejects.toThrow(/hosts\.toml:2 is no TOML/)
  })
})
