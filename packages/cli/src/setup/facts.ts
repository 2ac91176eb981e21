import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { CliFailure } from '../failure.ts'
import type { DockerStore } from './wish.ts'

const run = promisify(execFile)

const ASK_TIMEOUT_MS = 5_000
const RESTART_TIMEOUT_MS = 120_000
/** The snapshotters of containerd present themselves by this type. */
const CONTAINERD_STORE = 'io.containerd.snapshotter.v1'
/** Where distributions have flags for dockerd. */
const FLAG_FILES = [
  '/etc/default/docker',
  '/etc/sysconfig/docker',
  '/etc/systemd/system/docker.service',
  '/usr/lib/systemd/system/docker.service',
  '/lib/systemd/system/docker.service'
]
const FLAG_FOLDER = '/etc/systemd/system/docker.service.d'
const MIRROR_FLAG = /^[^#\n]*--registry-mirror/m

/** Reads a file of the host; undefined when it is not there. */
type Read = (path: string) => Promise<string | undefined>
type List = (path: string) => Promise<readonly string[]>

/** Asks the running Docker daemon where it keeps images; undefined when it does not say. */
export async function askDockerStore(): Promise<DockerStore | undefined> {
  try {
    const args = ['info', '--format', '{{json .DriverStatus}}']
    const { stdout } = await run('docker', args, { timeout: ASK_TIMEOUT_MS })
    const status = JSON.parse(stdout) as readonly (readonly string[])[] | null
    if (status === null) return undefined
    return status.some(([, value]) => value === CONTAINERD_STORE) ? 'containerd' : 'classic'
  } catch {
    return undefined
  }
}

/** What gives `--registry-mirror` to dockerd: a file of the host, or the command line of one that runs here. */
export async function findMirrorFlag(
  read: Read,
  list: List,
  config: string,
  isThisHost: boolean
): Promise<string | undefined> {
  const folder = (await list(FLAG_FOLDER)).map((name) => `${FLAG_FOLDER}/${name}`)
  for (const path of [...FLAG_FILES, ...folder]) {
    if (MIRROR_FLAG.test((await read(path)) ?? '')) return path
  }
  return isThisHost ? findRunning(config) : undefined
}

async function findRunning(config: string): Promise<string | undefined> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    if (!/(^|\/)dockerd$/.test(args[0] ?? '')) continue
    const at = args.indexOf('--config-file')
    const own = args.find((arg) => arg.startsWith('--config-file='))?.slice('--config-file='.length) ?? args[at + 1]
    const isMeant = (at === -1 && !args.some((arg) => arg.startsWith('--config-file='))) || own === config
    if (isMeant && args.some((arg) => arg.startsWith('--registry-mirror'))) return `the command line of process ${pid}`
  }
  return undefined
}

/** The major version of the containerd of this machine; undefined when it is not on the PATH. */
export async function askContainerdMajor(): Promise<number | undefined> {
  try {
    const { stdout } = await run('containerd', ['--version'], { timeout: ASK_TIMEOUT_MS })
    return majorOf(stdout)
  } catch {
    return undefined
  }
}

/** `containerd github.com/containerd/containerd/v2 v2.1.0 …` → 2 */
export function majorOf(version: string): number | undefined {
  const [, major] = /(?:^|\s)v?(\d+)\.\d+/.exec(version) ?? []
  return major === undefined ? undefined : Number(major)
}

/** Has dockerd read daemon.json again (dockerd(8): SIGHUP reloads registry-mirrors). @throws CliFailure when it does not run */
export async function reloadDocker(pidFile: string): Promise<void> {
  const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).trim())
  const name = pid > 1 ? await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '') : ''
  if (name.trim() !== 'dockerd') {
    throw new CliFailure(
      'FAILED',
      `the files are changed, but no dockerd runs by ${pidFile}; say with --pid-file where its pid is, or start it`
    )
  }
  process.kill(pid, 'SIGHUP')
}

/** @throws CliFailure when systemd can not */
export async function restartContainerd(): Promise<void> {
  try {
    await run('systemctl', ['restart', 'containerd'], { timeout: RESTART_TIMEOUT_MS })
  } catch (cause) {
    throw new CliFailure(
      'FAILED',
      'the files are changed, but containerd could not be restarted (systemctl restart containerd); restart it by hand',
      { cause }
    )
  }
}
