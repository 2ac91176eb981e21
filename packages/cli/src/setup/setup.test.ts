import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Crash, CrashingDisk } from '../testing/crashing-disk.ts'
import { planContainerd } from './containerd.ts'
import { DISK, type Disk } from './disk.ts'
import { planDocker } from './docker.ts'
import { HostRoot } from './host-root.ts'
import { Journal } from './journal.ts'
import { Setup } from './setup.ts'
import { CLIENTS, type Client, type HostView, type MirrorOptions } from './wish.ts'

const DAEMON = '/etc/docker/daemon.json'
const DOCKER_HOSTS = '/etc/docker/certs.d/_default/hosts.toml'
const CONFIG = '/etc/containerd/config.toml'
const HOSTS = '/etc/containerd/certs.d/_default/hosts.toml'
const HUB_HOSTS = '/etc/containerd/certs.d/docker.io/hosts.toml'
const MIRROR = 'http://127.0.0.1:5000'
const MORE_STEPS_THAN_ANY_RUN = 200

const BEFORE: Readonly<Record<string, string>> = {
  [DAEMON]: '{\n\t"log-level": "info"\n}',
  [CONFIG]: 'version = 2 # by hand\n',
  [HUB_HOSTS]: '# ours\n[host."http://cache:5000"]\n  capabilities = ["pull"]\n'
}

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lm-setup-'))
  for (const [path, text] of Object.entries(BEFORE)) await write(path, text)
})

afterEach(() => rm(root, { recursive: true, force: true }))

async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await writeFile(join(root, path), text)
}

const read = (path: string) => readFile(join(root, path), 'utf8')

/** All that is below the root but the journal. */
async function everything(): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const pairs = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name)
    return [path.slice(root.length), entry.isFile() ? await readFile(path, 'utf8') : 'no file'] as const
  })
  return Object.fromEntries((await Promise.all(pairs)).filter(([path]) => !path.startsWith('/state')))
}

const planners: Readonly<Record<string, (host: HostView, options: MirrorOptions) => ReturnType<typeof planDocker>>> = {
  docker: (host, options) => planDocker(host, { ...options, config: DAEMON, certsDir: '/etc/docker/certs.d' }),
  containerd: (host, options) => planContainerd(host, { ...options, config: CONFIG, keepConfig: false })
}

async function open(disk: Disk): Promise<Setup> {
  return new Setup({ host: new HostRoot(root, disk), journal: await Journal.open(join(root, 'state'), disk) })
}

/** Points a client at the node. @returns the paths that changed */
async function setUp(client: Client, options: Partial<MirrorOptions> = {}, disk: Disk = DISK): Promise<string[]> {
  await (await Journal.open(join(root, 'state'), disk)).prepare()
  const setup = await open(disk)
  const plan = planners[client]
  if (plan === undefined) throw new Error(`no plan for ${client}`)
  const prepared = await setup.prepare(client, (host) =>
    plan(host, { mirror: MIRROR, registries: [], tags: 'mesh', ...options })
  )
  await setup.carryOut(prepared)
  return prepared.files.filter(({ before, after }) => before?.toString() !== after?.toString()).map(({ path }) => path)
}

async function undo(clients: readonly Client[] = CLIENTS, { force = false, disk = DISK } = {}) {
  const setup = await open(disk)
  const prepared = await setup.prepareUndo(clients, force)
  await setup.carryOut(prepared)
  return prepared
}

describe('what was set up', () => {
  test('is there, and nothing is left of it after it was undone', async () => {
    const before = await everything()
    expect(await setUp('docker')).toEqual([DAEMON, DOCKER_HOSTS])
    expect(await setUp('containerd')).toEqual([HOSTS, CONFIG])
    expect(JSON.parse(await read(DAEMON))).toEqual({ 'log-level': 'info', 'registry-mirrors': [MIRROR] })
    expect(await read(CONFIG)).toContain('config_path = "/etc/containerd/certs.d"')
    expect(await read(HOSTS)).toContain(MIRROR)
    await undo()
    expect(await everything()).toEqual(before)
    expect(await readdir(root)).not.toContain('state')
  })

  test('is not set up again', async () => {
    await setUp('containerd')
    const after = await everything()
    const { mtimeMs } = await stat(join(root, 'state/journal.json'))
    expect(await setUp('containerd')).toEqual([])
    expect(await everything()).toEqual(after)
    expect((await stat(join(root, 'state/journal.json'))).mtimeMs).toBeGreaterThanOrEqual(mtimeMs)
  })

  test('gives way to what is wanted now', async () => {
    const before = await everything()
    await setUp('containerd')
    await setUp('containerd', {
      registries: ['docker.io', 'quay.io'],
      tags: 'upstream',
      mirror: 'http://127.0.0.1:7000'
    })
    expect(await read(HUB_HOSTS)).toContain('[host."http://127.0.0.1:7000"]\n  capabilities = ["pull"]\n')
    expect(await read(HUB_HOSTS)).toContain('http://cache:5000')
    await expect(read(HOSTS)).rejects.toThrow()
    await undo()
    expect(await everything()).toEqual(before)
  })

  test('of one client is undone alone', async () => {
    await setUp('docker')
    await setUp('containerd')
    await undo(['docker'])
    expect(await read(DAEMON)).toBe(BEFORE[DAEMON])
    expect(await read(HOSTS)).toContain(MIRROR)
  })

  test('keeps mode and owner of a file, and new files can be read by clients', async () => {
    await chmod(join(root, DAEMON), 0o640)
    const { uid, gid } = await stat(join(root, DAEMON))
    await setUp('docker')
    const after = await stat(join(root, DAEMON))
    expect([after.mode & 0o777, after.uid, after.gid]).toEqual([0o640, uid, gid])
    expect((await stat(join(root, DOCKER_HOSTS))).mode & 0o777).toBe(0o644)
    await undo()
    expect((await stat(join(root, DAEMON))).mode & 0o777).toBe(0o640)
  })

  test('follows symbolic links of the host, and leaves them', async () => {
    await rm(join(root, DAEMON))
    await write('/usr/share/docker.json', '{}')
    await symlink('/usr/share/docker.json', join(root, DAEMON))
    const before = await everything()
    expect(await setUp('docker')).toContain('/usr/share/docker.json')
    expect(JSON.parse(await read('/usr/share/docker.json'))).toHaveProperty('registry-mirrors')
    await undo()
    expect(await everything()).toEqual(before)
  })

  test('is not brought back from a backup that is not what was kept', async () => {
    await setUp('docker')
    const after = await read(DAEMON)
    const backups = join(root, 'state/backups')
    for (const name of await readdir(backups)) await writeFile(join(backups, name), '{"hosts": ["tcp://0.0.0.0"]}')
    expect((await undo()).refusals[0]?.message).toMatch(/^the backup .* is not what was kept/)
    expect(await read(DAEMON)).toBe(after)
  })

  test('is kept from others: backups may hold passwords', async () => {
    await setUp('docker')
    expect((await stat(join(root, 'state'))).mode & 0o777).toBe(0o700)
    for (const name of await readdir(join(root, 'state/backups'))) {
      expect((await stat(join(root, 'state/backups', name))).mode & 0o777).toBe(0o600)
    }
  })
})

describe('what its owner changed since', () => {
  test('stays, in a file that was there', async () => {
    await setUp('docker')
    await write(DAEMON, (await read(DAEMON)).replace('"info"', '"debug"'))
    await undo()
    expect(JSON.parse(await read(DAEMON))).toEqual({ 'log-level': 'debug' })
  })

  test('stays, in a file that was made', async () => {
    await setUp('containerd')
    const more = '[host."http://cache:5000"]\n  capabilities = ["pull"]\n'
    await write(HOSTS, `${await read(HOSTS)}${more}`)
    await write(CONFIG, `${await read(CONFIG)}[plugins.other]\na = 1\n`)
    await undo()
    expect(await read(HOSTS)).toBe(more)
    expect(await read(CONFIG)).toBe(`${BEFORE[CONFIG]}[plugins.other]\na = 1\n`)
  })

  test('stays when it is set up again', async () => {
    await setUp('docker')
    await write(DAEMON, (await read(DAEMON)).replace('"info"', '"debug"'))
    expect(await setUp('docker')).toEqual([])
    expect(await setUp('docker', { mirror: 'http://127.0.0.1:7000' })).toEqual([DAEMON, DOCKER_HOSTS])
    expect(JSON.parse(await read(DAEMON))).toEqual({
      'log-level': 'debug',
      'registry-mirrors': ['http://127.0.0.1:7000']
    })
    await undo()
    expect(JSON.parse(await read(DAEMON))).toEqual({ 'log-level': 'debug' })
  })

  test('stays removed', async () => {
    await setUp('containerd')
    await rm(join(root, HOSTS))
    await rm(join(root, CONFIG))
    await undo()
    expect(Object.keys(await everything())).not.toContain(HOSTS)
    expect(Object.keys(await everything())).not.toContain(CONFIG)
  })

  test('is not touched when it is in our own lines, until that is asked for by force', async () => {
    await setUp('containerd')
    const changed = (await read(HOSTS)).replace('"resolve"', '"resolve", "push"')
    await write(HOSTS, changed)
    const { refusals } = await undo()
    expect(refusals.map(({ message }) => message).join()).toMatch(/was changed since.*undo --force/)
    expect(await read(HOSTS)).toBe(changed)
    expect(await read(CONFIG)).toBe(BEFORE[CONFIG])
    await expect(setUp('containerd')).rejects.toThrow(/was changed since/)
    const forced = await undo(CLIENTS, { force: true })
    expect(forced.lost.map(String)).toEqual([changed])
    await expect(read(HOSTS)).rejects.toThrow()
  })

  test('is not touched when it can not be read any more', async () => {
    await setUp('docker')
    await write(DAEMON, '{ half a change')
    expect((await undo()).refusals[0]?.message).toMatch(/daemon\.json:1 is no JSON/)
    expect(await read(DAEMON)).toBe('{ half a change')
  })

  test('may be that what was put in is out already', async () => {
    await setUp('docker')
    await write(DAEMON, '{"log-level": "warn"}')
    await undo()
    expect(await read(DAEMON)).toBe('{"log-level": "warn"}')
  })
})

describe('a process that dies', () => {
  /** Runs `act` again and again, dying one step later each time, and looks at what is left. */
  async function dieAtEachStep(act: (disk: Disk) => Promise<unknown>, look: (step: number) => Promise<void>) {
    for (let step = 0; step < MORE_STEPS_THAN_ANY_RUN; step++) {
      const disk = new CrashingDisk(step)
      await act(disk).catch((error: unknown) => {
        if (!(error instanceof Crash)) throw error
      })
      await look(step)
      if (disk.survived) return step
    }
    throw new Error('it never came to its end')
  }

  /** Each file is as it was, or as it is to be. */
  async function expectOneOf(olds: readonly Record<string, string>[], step: number) {
    const now = await everything()
    for (const path of new Set(olds.flatMap((old) => Object.keys(old)))) {
      expect(
        olds.map((old) => old[path]),
        `${path} after ${step} steps`
      ).toContain(now[path])
    }
  }

  async function filesAfter(act: () => Promise<unknown>): Promise<Record<string, string>> {
    await act()
    return everything()
  }

  test.each(['docker', 'containerd'] as const)(
    'while it sets up %s leaves what can be undone and finished',
    async (client) => {
      const before = await everything()
      const after = await filesAfter(() => setUp(client))
      await undo()
      const steps = await dieAtEachStep(
        (disk) => setUp(client, {}, disk),
        async (step) => {
          await expectOneOf([before, after], step)
          await undo()
          expect(await everything(), `undone after ${step} steps`).toEqual(before)
          expect(await readdir(root), `journal after ${step} steps`).not.toContain('state')
        }
      )
      expect(steps).toBeGreaterThan(15)
      await setUp(client)
      expect(await everything()).toEqual(after)
    }
  )

  test.each(['docker', 'containerd'] as const)(
    'while it sets up %s is followed by one that finishes',
    async (client) => {
      const before = await everything()
      const after = await filesAfter(() => setUp(client))
      await undo()
      await dieAtEachStep(
        (disk) => setUp(client, {}, disk),
        async (step) => {
          await setUp(client)
          expect(await everything(), `finished after ${step} steps`).toEqual(after)
          await undo()
          expect(await everything(), `undone after ${step} steps`).toEqual(before)
        }
      )
    }
  )

  test('while it undoes leaves what can be undone', async () => {
    const before = await everything()
    const after = await filesAfter(async () => [await setUp('docker'), await setUp('containerd')])
    await dieAtEachStep(
      (disk) => undo(CLIENTS, { disk }),
      async (step) => {
        await expectOneOf([before, after], step)
        await undo()
        expect(await everything(), `undone after ${step} steps`).toEqual(before)
        await setUp('docker')
        await setUp('containerd')
      }
    )
  })

  test('while it changes what was set up leaves what can be undone, also what its owner added', async () => {
    const addition = '[host."http://more:5000"]\n  capabilities = ["pull"]\n'
    const wanted = { registries: ['docker.io', 'quay.io'], mirror: 'http://127.0.0.1:7000' }
    const again = async () => {
      await setUp('containerd', { registries: ['docker.io'] })
      await write(HUB_HOSTS, `${await read(HUB_HOSTS)}${addition}`)
    }
    const before = { ...(await everything()), [HUB_HOSTS]: `${BEFORE[HUB_HOSTS]}${addition}` }
    await again()
    await dieAtEachStep(
      (disk) => setUp('containerd', wanted, disk),
      async (step) => {
        await undo()
        expect(await everything(), `undone after ${step} steps`).toEqual(before)
        await write(HUB_HOSTS, BEFORE[HUB_HOSTS] ?? '')
        await again()
      }
    )
  })
})
