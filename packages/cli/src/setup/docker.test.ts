import { describe, expect, test } from 'vitest'
import { fakeHost } from '../testing/fake-host.ts'
import { type DockerOptions, planDocker } from './docker.ts'
import { RELOAD_DOCKER, RESTART_DOCKER } from './wish.ts'

const CONFIG = '/etc/docker/daemon.json'
const HOSTS = '/etc/docker/certs.d/_default/hosts.toml'
const OPTIONS: DockerOptions = {
  mirror: 'http://127.0.0.1:5000',
  registries: [],
  tags: 'mesh',
  config: CONFIG,
  certsDir: '/etc/docker/certs.d'
}

async function pathsOf(files: Readonly<Record<string, string>>, options: Partial<DockerOptions> = {}) {
  return (await planDocker(fakeHost(files), { ...OPTIONS, ...options })).wishes.map(({ path }) => path)
}

test('a daemon is pointed at the node by what it reads where it keeps images', async () => {
  expect(await pathsOf({}, { store: 'classic' })).toEqual([CONFIG])
  expect(await pathsOf({}, { store: 'containerd' })).toEqual([HOSTS])
  expect(await pathsOf({ [CONFIG]: '{"features": {"containerd-snapshotter": true}}' })).toEqual([HOSTS])
  expect(await pathsOf({ [CONFIG]: '{"features": {"containerd-snapshotter": false}}' })).toEqual([CONFIG])
})

test('a daemon of which nobody knows where it keeps images is pointed there in both ways', async () => {
  const { wishes, notes } = await planDocker(fakeHost({}), OPTIONS)
  expect(wishes.map(({ path, renewal }) => [path, renewal])).toEqual([
    [CONFIG, RELOAD_DOCKER],
    [HOSTS, undefined]
  ])
  expect(notes.join()).toContain('both ways')
})

test('a daemon forgets a list that was made for it only when it starts again', async () => {
  const { wishes } = await planDocker(fakeHost({}), { ...OPTIONS, store: 'classic' })
  expect(wishes[0]?.apply(undefined)?.undoRenewal).toBe(RESTART_DOCKER)
  expect(wishes[0]?.apply('{"registry-mirrors": ["https://other"]}')?.undoRenewal).toBeUndefined()
})

test('mirrors that a daemon asks no more because of hosts.toml are told of', async () => {
  const host = fakeHost({ [CONFIG]: '{"registry-mirrors": ["https://cache"]}' })
  expect((await planDocker(host, { ...OPTIONS, store: 'containerd' })).notes.join()).toMatch(/^https:\/\/cache of/)
  expect((await planDocker(host, { ...OPTIONS, store: 'classic' })).notes.join()).not.toContain('https://cache')
})

test('a list of mirrors that was there is not taken for ours', async () => {
  const { wishes } = await planDocker(fakeHost({}), { ...OPTIONS, store: 'classic' })
  expect(wishes[0]?.apply('{"registry-mirrors": []}')?.contribution).toMatchObject({ madeKey: false })
  expect(wishes[0]?.apply('{}')?.contribution).toMatchObject({ madeKey: true })
  expect(wishes[0]?.apply(undefined)?.contribution).toMatchObject({ madeKey: true })
})

describe('a daemon with a store of its own is refused', () => {
  const classic = { store: 'classic' } as const

  test('registries that it asks no mirror for', async () => {
    await expect(pathsOf({}, { ...classic, registries: ['quay.io'] })).rejects.toThrow(/for docker\.io alone/)
    expect(await pathsOf({}, { ...classic, registries: ['quay.io', 'docker.io'] })).toEqual([CONFIG])
  })

  test('tags that are left to the registry', async () => {
    await expect(pathsOf({}, { ...classic, tags: 'upstream' })).rejects.toThrow(/--tags upstream can not be had$/)
    await expect(pathsOf({}, { tags: 'upstream' })).rejects.toThrow(/say --store containerd/)
    expect(await pathsOf({}, { tags: 'upstream', store: 'containerd' })).toEqual([HOSTS])
  })

  test('a mirror in daemon.json beside one of its flags, with which it does not start', async () => {
    const flag = { mirrorFlagIn: '/etc/default/docker' }
    await expect(pathsOf({}, { ...classic, ...flag })).rejects.toThrow(
      /^\/etc\/default\/docker gives --registry-mirror/
    )
    expect(await pathsOf({}, { store: 'containerd', ...flag })).toEqual([HOSTS])
  })
})
