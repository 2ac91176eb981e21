import { type Command, Option } from 'commander'
import type { CommandContext } from '../context.ts'
import { CliFailure } from '../failure.ts'
import type { HostRoot } from '../setup/host-root.ts'
import { DEFAULT_MIRROR, mirrorOfNode, readMirror, readRegistry } from '../setup/mirror.ts'
import type { ReportFlags } from '../setup/report.ts'
import type { Prepared, Setup } from '../setup/setup.ts'
import {
  CLIENTS,
  type Client,
  DOCKER_STORES,
  type DockerStore,
  type HostView,
  type MirrorOptions,
  type Plan,
  TAGS
} from '../setup/wish.ts'

/**
 * Not below the data of a node: a node runs as a user of its own, and whoever may write here says what `undo`, run by
 * root, writes elsewhere.
 */
const STATE_DIRECTORY = '/var/lib/layermesh-setup'
const SERVICE_DATA = '/var/lib/layermesh'
const DOCKER_PID_FILE = '/var/run/docker.pid'

interface PlaceFlags {
  readonly root: string
  readonly stateDir?: string
  readonly dryRun?: true
  readonly json?: true
}

interface MirrorFlags extends PlaceFlags {
  readonly mirror?: string
  readonly data?: string
  readonly registry: readonly string[]
  readonly tags: MirrorOptions['tags']
  readonly config: string
}

interface DockerFlags extends MirrorFlags {
  readonly certsDir: string
  readonly store?: DockerStore
  readonly reload?: true
  readonly pidFile: string
}

interface ContainerdFlags extends MirrorFlags {
  readonly certsDir?: string
  readonly keepConfig?: true
  readonly containerdVersion?: string
  readonly reload?: true
}

interface UndoFlags extends PlaceFlags {
  readonly force?: true
  readonly reload?: true
  readonly pidFile: string
}

/** `setup docker`, `setup containerd`, `setup podman`, `setup undo`: has clients of this host ask the node first. */
export function addSetupCommands(program: Command, context: CommandContext): void {
  const setup = program.command('setup').description('have container clients of this host ask the node first')
  addDocker(setup, context)
  addContainerd(setup, context)
  addPodman(setup, context)
  addUndo(setup, context)
}

function addDocker(setup: Command, context: CommandContext): void {
  const command = setup
    .command('docker')
    .description('daemon.json, and certs.d where images are kept in containerd')
    .option('--config <FILE>', 'its daemon.json', '/etc/docker/daemon.json')
    .option('--certs-dir <DIR>', 'its certs.d', '/etc/docker/certs.d')
    .addOption(
      new Option('--store <STORE>', 'where it keeps images (default: as the daemon says)').choices(DOCKER_STORES)
    )
    .option('--reload', 'have the daemon read daemon.json again (SIGHUP)')
    .option('--pid-file <FILE>', 'where the pid of the daemon is', DOCKER_PID_FILE)
  addMirrorFlags(command).action((flags: DockerFlags) =>
    change('docker', flags, context, async (host, view, mirror) => {
      const { askDockerStore, findMirrorFlag } = await import('../setup/facts.ts')
      const { planDocker } = await import('../setup/docker.ts')
      const store = flags.store ?? (host.isThisHost ? await askDockerStore() : undefined)
      const mirrorFlagIn = await findMirrorFlag(view.read, view.list, flags.config, host.isThisHost)
      const { config, certsDir } = flags
      return planDocker(view, {
        ...mirror,
        config,
        certsDir,
        ...(store !== undefined && { store }),
        ...(mirrorFlagIn !== undefined && { mirrorFlagIn })
      })
    })
  )
}

function addContainerd(setup: Command, context: CommandContext): void {
  const command = setup
    .command('containerd')
    .description('hosts.toml in certs.d, and config_path in config.toml where it is not set')
    .option('--config <FILE>', 'its config.toml', '/etc/containerd/config.toml')
    .option('--certs-dir <DIR>', 'its certs.d (default: as config.toml says, else /etc/containerd/certs.d)')
    .option('--keep-config', 'leave config.toml as it is')
    .option('--containerd-version <VERSION>', 'such as 1.7 or 2 (default: as containerd says)')
    .option('--reload', 'restart containerd when config.toml was changed (systemctl)')
  addMirrorFlags(command).action((flags: ContainerdFlags) =>
    change('containerd', flags, context, async (host, view, mirror) => {
      const { askContainerdMajor, majorOf } = await import('../setup/facts.ts')
      const { planContainerd } = await import('../setup/containerd.ts')
      const { config, certsDir, keepConfig = false, containerdVersion } = flags
      const said = containerdVersion && majorOf(`${containerdVersion}.0`)
      if (containerdVersion !== undefined && !said) {
        throw new CliFailure('USAGE', `--containerd-version ${containerdVersion} is no version such as 1.7 or 2`)
      }
      const major = said || (host.isThisHost ? await askContainerdMajor() : undefined)
      return planContainerd(view, {
        ...mirror,
        config,
        keepConfig,
        ...(certsDir !== undefined && { certsDir }),
        ...(major !== undefined && { major })
      })
    })
  )
}

function addPodman(setup: Command, context: CommandContext): void {
  const command = setup
    .command('podman')
    .description('a file in registries.conf.d, which skopeo, buildah and CRI-O read too')
    .option(
      '--config <FILE>',
      'its registries.conf, beside which registries.conf.d is',
      '/etc/containers/registries.conf'
    )
    .option('--force', 'replace a file of the same name that somebody else wrote')
  addMirrorFlags(command).action((flags: MirrorFlags & { readonly force?: true }) =>
    change('podman', flags, context, async (_, view, mirror) => {
      const { planPodman } = await import('../setup/podman.ts')
      return planPodman(view, { ...mirror, config: flags.config, force: flags.force === true })
    })
  )
}

function addUndo(setup: Command, context: CommandContext): void {
  const command = setup
    .command('undo')
    .description('take out again what setup put in, of one client or of all')
    .argument(`[${CLIENTS.join('|')}]`)
    .option('--force', 'bring back files as they were before, where it can not be told what in them is whose')
    .option('--reload', 'have daemons go by it that need to be told')
    .option('--pid-file <FILE>', 'where the pid of the Docker daemon is', DOCKER_PID_FILE)
  addPlaceFlags(command).action(async (name: string | undefined, flags: UndoFlags) => {
    if (name !== undefined && !CLIENTS.includes(name as Client)) {
      throw new CliFailure('USAGE', `setup knows ${CLIENTS.join(', ')}, not ${name}`)
    }
    await undo(name === undefined ? CLIENTS : [name as Client], flags, context)
  })
}

function addPlaceFlags(command: Command): Command {
  return command
    .option('--root <DIR>', 'where the file system of the host is; all paths are below it', '/')
    .option('--state-dir <DIR>', `where backups and the journal are (default ${STATE_DIRECTORY}, below --root)`)
    .option('--dry-run', 'change nothing, only show what would be')
    .option('--json', 'print JSON')
}

function addMirrorFlags(command: Command): Command {
  const list = (value: string, before: readonly string[]) => [...before, value]
  addPlaceFlags(command)
  return command
    .option('--mirror <URL>', `where the node is (default: the one that runs here, else ${DEFAULT_MIRROR})`)
    .option('--data <DIR>', 'its data directory, which says where it is')
    .addOption(
      new Option('--registry <HOST>', 'ask the node for images of this registry only; repeatable')
        .argParser(list)
        .default([], 'all that the client knows a way for')
    )
    .addOption(
      new Option('--tags <FROM>', 'mesh: the node is asked what tags mean; upstream: only for digests')
        .choices(TAGS)
        .default('mesh')
    )
}

type Planner = (host: HostRoot, view: HostView, options: MirrorOptions) => Promise<Plan>

/** Has the files of a client be as its flags say, and says what that changed. */
async function change(
  client: Client,
  flags: MirrorFlags & { readonly reload?: true; readonly pidFile?: string },
  context: CommandContext,
  planner: Planner
): Promise<void> {
  const options = {
    mirror: flags.mirror === undefined ? await findMirror(flags, context) : readMirror(flags.mirror),
    registries: [...new Set(flags.registry.map(readRegistry))],
    tags: flags.tags
  }
  await withSetup(flags, true, async (setup, host) => {
    checkReload(flags, host)
    const prepared = await setup.prepare(client, (view) => planner(host, view, options))
    if (!flags.dryRun) await setup.carryOut(prepared)
    await tell(client, prepared, flags, context)
  })
}

async function undo(clients: readonly Client[], flags: UndoFlags, context: CommandContext): Promise<void> {
  await withSetup(flags, false, async (setup, host, keep) => {
    checkReload(flags, host)
    const prepared = await setup.prepareUndo(clients, flags.force === true)
    if (!flags.dryRun) {
      for (const bytes of prepared.lost) {
        context.err.write(`what was there instead is kept in ${await keep(bytes)}\n`)
      }
      await setup.carryOut(prepared)
    }
    await tell('undo', prepared, flags, context)
    const [refusal] = prepared.refusals
    if (refusal !== undefined) throw refusal
  })
}

/** Says what was done, and has daemons go by it if that was asked for. */
async function tell(title: string, prepared: Prepared, flags: ReportFlags, context: CommandContext): Promise<void> {
  const { report } = await import('../setup/report.ts')
  await report(title, prepared, flags, context)
}

/** A dry run touches nothing, so it takes no lock either. */
async function withSetup(
  { root, stateDir, dryRun }: PlaceFlags,
  makes: boolean,
  act: (setup: Setup, host: HostRoot, keep: (bytes: Buffer) => Promise<string>) => Promise<void>
): Promise<void> {
  const [{ DISK }, { HostRoot }, { Journal }, { withLock }, { Setup }] = await Promise.all([
    import('../setup/disk.ts'),
    import('../setup/host-root.ts'),
    import('../setup/journal.ts'),
    import('../setup/lock.ts'),
    import('../setup/setup.ts')
  ])
  const host = new HostRoot(root, DISK)
  const directory = stateDir ?? host.here(await host.resolve(STATE_DIRECTORY))
  const run = async () => {
    const journal = await Journal.open(directory, DISK)
    try {
      await act(new Setup({ host, journal }), host, (bytes) => journal.keepReplaced(bytes))
    } finally {
      // Nothing was begun, so nothing is left.
      if (!dryRun && journal.records.length === 0) await journal.save([])
    }
  }
  if (dryRun || !(makes || (await DISK.isDirectory(directory)))) return run()
  await (await Journal.open(directory, DISK)).prepare()
  await withLock(directory, run)
}

function checkReload({ reload }: { readonly reload?: true }, host: HostRoot): void {
  if (!reload || host.isThisHost) return
  throw new CliFailure('USAGE', '--reload is for daemons of this host, not of another --root')
}

/** Where the node of this host is: by its data directory, by that of the settings, or by that of the service. */
async function findMirror({ data }: MirrorFlags, { environment }: CommandContext): Promise<string> {
  const { loadConfig, readNodeFile } = await import('@layermesh/node')
  const configured = () => loadConfig({ environment }).then(({ config }) => config.dataDir)
  const directories = data === undefined ? [await configured().catch(() => undefined), SERVICE_DATA] : [data]
  for (const directory of directories) {
    const info = directory === undefined ? undefined : await readNodeFile(directory)
    const mirror = info && mirrorOfNode(info, isAlive)
    if (mirror !== undefined) return mirror
  }
  if (data === undefined) return DEFAULT_MIRROR
  throw new CliFailure('FAILED', `no node runs on ${data}; start it, or say with --mirror URL where it is`)
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
