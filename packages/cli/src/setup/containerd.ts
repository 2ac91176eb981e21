import { CliFailure } from '../failure.ts'
import { readRegistrySettings } from './containerd-config.ts'
import { foldersIn, planHosts } from './hosts-toml.ts'
import { type HostView, type MirrorOptions, type Plan, RESTART_CONTAINERD, type Wish } from './wish.ts'

const DEFAULT_ROOT = '/etc/containerd/certs.d'
/** containerd 2 searches this one too when `config_path` is not set. */
const DOCKER_ROOT = '/etc/docker/certs.d'
const DIAL_TIMEOUT = '1s'

export interface ContainerdOptions extends MirrorOptions {
  /** Its config.toml. */
  readonly config: string
  /** @default the first directory of `config_path`, else /etc/containerd/certs.d */
  readonly certsDir?: string
  /** config.toml is read but not changed. */
  readonly keepConfig: boolean
  /** Of its version; undefined when nobody knows. */
  readonly major?: number
}

/**
 * Points containerd at the node: `hosts.toml`, and in `config.toml` the directory where that is. The directory is set
 * for containerd 2 too, which has a default: its list of two directories is not found by the transfer service, by which
 * containerd 2.2 and later pull for Kubernetes (containerd#12808).
 * @throws CliFailure when containerd would not go by it, or something of the user's would be lost
 */
export async function planContainerd(host: HostView, options: ContainerdOptions): Promise<Plan> {
  const { config, keepConfig, certsDir, major } = options
  const { roots, criDisabled, setRoot } = await readRegistrySettings(host, config, major)
  if (certsDir !== undefined && roots.length > 0 && !roots.includes(certsDir)) {
    throw new CliFailure(
      'FAILED',
      `${config} has containerd look in ${roots.join(' and ')}, not in ${certsDir}; leave out --certs-dir, or change config_path`
    )
  }
  const root = certsDir ?? roots[0] ?? DEFAULT_ROOT
  const notes: string[] = []
  const alsoDocker =
    major !== undefined && major >= 2 && roots.length === 0 && (await foldersIn(host, DOCKER_ROOT)).length > 0
  const wishes: Wish[] = []
  if (roots.length > 1) {
    notes.push(
      `config_path names ${roots.length} directories; containerd 2.2 and later find none of them when they pull for Kubernetes (containerd#12808): name one if the node is not asked`
    )
  }
  if (roots.length === 0 && criDisabled) {
    notes.push(
      `the CRI plugin is disabled in ${config}, so it was left as it is: nerdctl reads ${root} by itself, ctr with --hosts-dir`
    )
  } else if (roots.length === 0 && alsoDocker && root === DEFAULT_ROOT) {
    notes.push(
      `config_path was not set, since containerd 2 reads ${DOCKER_ROOT} too, which has settings; containerd 2.2 and later may find neither when they pull for Kubernetes (containerd#12808): set config_path by hand if the node is not asked`
    )
  } else if (roots.length === 0 && keepConfig) {
    const which =
      major !== undefined && major >= 2
        ? 'containerd 2.2 and later, when they pull for Kubernetes, do'
        : 'containerd 1.x does'
    notes.push(
      `${which} not read ${root} until ${config} has it as config_path of the registry section of its CRI plugin`
    )
  } else if (roots.length === 0) {
    wishes.push({ ...setRoot(root), renewal: RESTART_CONTAINERD })
  }
  const hosts = await planHosts(host, {
    ...options,
    client: 'containerd',
    roots:
      roots.length > 0 ? [root, ...roots.filter((one) => one !== root)] : alsoDocker ? [root, DOCKER_ROOT] : [root],
    ...(major !== undefined && major >= 2 ? { dialTimeout: DIAL_TIMEOUT } : {})
  })
  return {
    // The directory is filled before containerd is told to look there.
    wishes: [...hosts.wishes, ...wishes],
    notes: [...notes, ...hosts.notes]
  }
}
