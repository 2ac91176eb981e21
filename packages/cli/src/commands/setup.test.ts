import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runCommandLine } from '../run.ts'
import { fakeContext } from '../testing/fake-context.ts'

let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lm-command-'))
  await mkdir(join(root, 'etc/docker'), { recursive: true })
  await writeFile(join(root, 'etc/docker/daemon.json'), '{"http-proxy": "http://me:secret@proxy"}')
})

afterEach(() => rm(root, { recursive: true, force: true }))

async function layermesh(...args: string[]) {
  const context = fakeContext({ LAYERMESH_DATA_DIR: join(root, 'no-node') })
  const code = await runCommandLine([...args, '--root', root], context)
  return { code, out: context.out.text, err: context.err.text }
}

const daemonJson = () => readFile(join(root, 'etc/docker/daemon.json'), 'utf8')

test('setup says what it does, what is to be done then, and when there is nothing to do', async () => {
  const first = await layermesh('setup', 'docker', '--store', 'classic')
  expect(first.code).toBe(0)
  expect(first.out).toMatch(/^docker: change \/etc\/docker\/daemon\.json\n--- /)
  expect(first.out).toContain('to go by it: systemctl reload docker')
  expect(JSON.parse(await daemonJson())['registry-mirrors']).toEqual(['http://127.0.0.1:5000'])
  const second = await layermesh('setup', 'docker', '--store', 'classic')
  expect(second.out).toBe('docker: nothing to change\n')
})

test('setup shows no password that stands in a line which changes', async () => {
  const { out } = await layermesh('setup', 'docker', '--store', 'classic')
  expect(out).toContain('http://***@proxy')
  expect(out).not.toContain('secret')
})

test('a dry run shows the same and touches nothing', async () => {
  const before = await readdir(root, { recursive: true })
  const { out } = await layermesh('setup', 'docker', '--dry-run')
  expect(out).toContain('docker: would change /etc/docker/daemon.json')
  expect(out).toContain('docker: would make /etc/docker/certs.d/_default/hosts.toml')
  expect(await readdir(root, { recursive: true })).toEqual(before)
})

test('programs get JSON', async () => {
  const { out } = await layermesh(
    'setup',
    'podman',
    '--registry',
    'quay.io',
    '--mirror',
    'http://10.0.0.1:80',
    '--json'
  )
  expect(JSON.parse(out)).toMatchObject({
    setup: 'podman',
    dryRun: false,
    changes: [{ path: '/etc/containers/registries.conf.d/50-layermesh.conf', action: 'make' }],
    notes: [],
    commands: [],
    done: [],
    refusals: []
  })
  expect(JSON.parse(out).changes[0].diff).toContain('+location = "10.0.0.1/quay.io"')
})

test('undo takes out all that was put in, of one client or of all', async () => {
  const before = await readdir(root, { recursive: true })
  await layermesh('setup', 'docker')
  await layermesh('setup', 'containerd', '--containerd-version', '2.1')
  await layermesh('setup', 'podman')
  expect((await layermesh('setup', 'undo', 'podman')).out).toContain('undo: remove /etc/containers')
  const { code, out } = await layermesh('setup', 'undo')
  expect(code).toBe(0)
  expect(out).toContain('undo: to go by it: systemctl restart containerd')
  expect((await readdir(root, { recursive: true })).filter((path) => !path.startsWith('var'))).toEqual(before)
  expect(await daemonJson()).toBe('{"http-proxy": "http://me:secret@proxy"}')
  expect((await layermesh('setup', 'undo')).out).toBe('undo: nothing to change\n')
})

test('undo says what it leaves, and why, and keeps what it replaces by force', async () => {
  await layermesh('setup', 'podman')
  const file = join(root, 'etc/containers/registries.conf.d/50-layermesh.conf')
  await writeFile(file, (await readFile(file, 'utf8')).replace('"all"', '"tag-only"'))
  const refused = await layermesh('setup', 'undo')
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/what layermesh put there was changed since/)])
  const forced = await layermesh('setup', 'undo', '--force')
  expect(forced.code).toBe(0)
  const [, kept = ''] = /is kept in (\S+)/.exec(forced.err) ?? []
  expect(await readFile(kept, 'utf8')).toContain('"tag-only"')
})

test('a plan that is refused leaves nothing behind', async () => {
  await writeFile(join(root, 'etc/docker/daemon.json'), '{')
  const { code, err } = await layermesh('setup', 'docker')
  expect([code, err]).toEqual([1, expect.stringMatching(/daemon\.json:1 is no JSON/)])
  await expect(readdir(join(root, 'var/lib/layermesh-setup'))).rejects.toThrow()
})

test('flags of the daemon are found where distributions have them', async () => {
  await mkdir(join(root, 'etc/default'), { recursive: true })
  await writeFile(
    join(root, 'etc/default/docker'),
    '# --registry-mirror=no\nDOCKER_OPTS="--registry-mirror=https://a"\n'
  )
  const { code, err } = await layermesh('setup', 'docker')
  expect([code, err]).toEqual([1, expect.stringMatching(/\/etc\/default\/docker gives --registry-mirror to dockerd/)])
})

test('a journal that others may write to is not believed: it says what root writes where', async () => {
  await mkdir(join(root, 'var/lib/layermesh-setup'), { recursive: true })
  await chmod(join(root, 'var/lib/layermesh-setup'), 0o777)
  const { code, err } = await layermesh('setup', 'undo')
  expect([code, err]).toEqual([1, expect.stringMatching(/is not a directory of this user alone/)])
})

test('a journal that can not be read is left, and so is everything else', async () => {
  await layermesh('setup', 'docker')
  const changed = await daemonJson()
  for (const text of [
    '{',
    '{"format": 2, "files": []}',
    '{"format": 1, "files": [{"client": "cron", "path": "/etc/crontab"}]}'
  ]) {
    await writeFile(join(root, 'var/lib/layermesh-setup/journal.json'), text)
    for (const args of [['undo'], ['docker', '--mirror', 'http://a']]) {
      const { code, err } = await layermesh('setup', ...args)
      expect([code, err], text).toEqual([1, expect.stringMatching(/is no journal of this version of layermesh/)])
    }
  }
  expect(await daemonJson()).toBe(changed)
})

test('two at a time do not get in each other’s way: the second says so', async () => {
  const { withLock } = await import('../setup/lock.ts')
  await layermesh('setup', 'docker')
  await withLock(join(root, 'var/lib/layermesh-setup'), async () => {
    const { code, err } = await layermesh('setup', 'podman')
    expect([code, err]).toEqual([1, expect.stringMatching(/another `layermesh setup` is at work/)])
  })
  expect((await layermesh('setup', 'podman')).code).toBe(0)
})

test('wrong usage is told from failure', async () => {
  for (const args of [
    ['docker', '--mirror', 'http://a/b'],
    ['docker', '--registry', 'https://a'],
    ['docker', '--tags', 'none'],
    ['docker', '--reload'],
    ['containerd', '--containerd-version', 'new'],
    ['undo', 'buildah']
  ]) {
    expect((await layermesh('setup', ...args)).code, args.join(' ')).toBe(2)
  }
})

test('without a word of where the node is, the one that runs on the data directory is taken', async () => {
  const data = join(root, 'data')
  await mkdir(data)
  await writeFile(join(data, 'node.json'), JSON.stringify({ pid: process.pid, registry: 'http://127.0.0.1:7777' }))
  await layermesh('setup', 'docker', '--store', 'classic', '--data', data)
  expect(JSON.parse(await daemonJson())['registry-mirrors']).toEqual(['http://127.0.0.1:7777'])
  await rm(join(data, 'node.json'))
  expect((await layermesh('setup', 'docker', '--data', data)).err).toMatch(/no node runs on/)
})
