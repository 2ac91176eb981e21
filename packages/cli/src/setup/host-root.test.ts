import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DISK } from './disk.ts'
import { HostRoot } from './host-root.ts'

let directory: string
let host: HostRoot

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lm-root-'))
  await mkdir(join(directory, 'host/etc/docker'), { recursive: true })
  host = new HostRoot(join(directory, 'host'), DISK)
})

afterEach(() => rm(directory, { recursive: true, force: true }))

const link = (target: string, path: string) => symlink(target, join(directory, 'host', path))

test('paths without links mean themselves, be there something or not', async () => {
  expect(await host.resolve('/etc/./docker/../absent/file')).toBe('/etc/absent/file')
  expect(host.here('/etc')).toBe(join(directory, 'host/etc'))
})

test('links are followed as the host would, also where they point to nothing yet', async () => {
  await link('/usr/docker', 'etc/docker/absolute')
  await link('../../var/lib', 'etc/docker/relative')
  await link('absolute/again', 'etc/docker/chain')
  expect(await host.resolve('/etc/docker/absolute/daemon.json')).toBe('/usr/docker/daemon.json')
  expect(await host.resolve('/etc/docker/relative')).toBe('/var/lib')
  expect(await host.resolve('/etc/docker/chain')).toBe('/usr/docker/again')
})

test('links and dots lead nowhere out of the root', async () => {
  await writeFile(join(directory, 'secret'), 'of this machine')
  await link('../../../../../../secret', 'etc/docker/out')
  await link(join(directory, 'secret'), 'etc/docker/absolute')
  for (const path of ['/etc/docker/out', '/etc/docker/absolute', '/../../secret']) {
    expect(await host.read(path), path).toBeUndefined()
  }
})

test('links that go round are given up', async () => {
  await link('round', 'etc/round')
  await expect(host.resolve('/etc/round')).rejects.toThrow(/too many symbolic links/)
})
