import { CliFailure } from '../failure.ts'
import { parseObject, withItem } from './daemon-json.ts'
import { planHosts } from './hosts-toml.ts'
import { tableOf } from './toml-text.ts'
import {
  DOCKER_STORES,
  type DockerStore,
  type HostView,
  type MirrorOptions,
  type Plan,
  RELOAD_DOCKER,
  RESTART_DOCKER,
  type Wish
} from './wish.ts'

const MIRRORS = 'registry-mirrors'
const HUB = 'docker.io'

export interface DockerOptions extends MirrorOptions {
  /** Its daemon.json. */
  readonly config: string
  readonly certsDir: string
  /** As the user or the running daemon says; undefined when nobody does. */
  readonly store?: DockerStore
  /** Where `--registry-mirror` is given to the daemon, which takes a setting from one place only. */
  readonly mirrorFlagIn?: string
}

/**
 * Points Docker at the node. Images in graph drivers: `registry-mirrors`, which counts for Docker Hub alone. Images in
 * containerd: `hosts.toml`, for every registry. When nobody knows where, both: neither kind of daemon minds the other's
 * (moby merges `registry-mirrors` only where hosts.toml names no mirror).
 * @throws CliFailure when the daemon would not do what was asked for, or not start again
 */
export async function planDocker(host: HostView, options: DockerOptions): Promise<Plan> {
  const { config, certsDir, registries } = options
  const text = await host.read(config)
  const store = options.store ?? storeIn(text, config)
  const notes: string[] = []
  const wishes: Wish[] = []
  if (store !== 'containerd') {
    refuseForClassic(options, store)
    wishes.push({
      path: config,
      renewal: RELOAD_DOCKER,
      apply: (base) => addMirror(base, config, options.mirror)
    })
  }
  if (store !== 'classic') {
    const hosts = await planHosts(host, { ...options, client: 'docker', roots: [certsDir] })
    wishes.push(...hosts.wishes)
    notes.push(...hosts.notes, ...aboutOtherMirrors(text, options))
  } else if (registries.length === 0) {
    notes.push(
      'this daemon asks mirrors for images of Docker Hub alone; it keeps images in its own store, not in containerd'
    )
  }
  if (store === undefined) {
    notes.push(
      `the daemon could not be asked where it keeps images, so both ways were taken; say it with --store ${DOCKER_STORES.join('|')} for one`
    )
  }
  return { wishes, notes }
}

function refuseForClassic(
  { registries, tags, mirrorFlagIn, mirror }: DockerOptions,
  store: DockerStore | undefined
): void {
  const say = store === undefined ? '; if it keeps them in containerd, say --store containerd' : ''
  if (registries.length > 0 && !registries.includes(HUB)) {
    throw new CliFailure(
      'FAILED',
      `a Docker daemon that keeps images in its own store asks mirrors for ${HUB} alone, which is not among --registry${say}`
    )
  }
  if (tags === 'upstream') {
    throw new CliFailure(
      'FAILED',
      `a Docker daemon that keeps images in its own store asks its mirror for tags too, so --tags upstream can not be had${say}`
    )
  }
  if (mirrorFlagIn !== undefined) {
    throw new CliFailure(
      'FAILED',
      `${mirrorFlagIn} gives --registry-mirror to dockerd, which does not start with registry-mirrors in daemon.json as well; add --registry-mirror=${mirror} there, before the others, or take them all into daemon.json`
    )
  }
}

/** Docker takes them, for Docker Hub, only while hosts.toml names no host but the registry itself. */
function aboutOtherMirrors(text: string | undefined, { config, mirror }: DockerOptions): string[] {
  const { [MIRRORS]: list } = text === undefined || text.trim() === '' ? {} : parseObject(text, config)
  const others = Array.isArray(list) ? list.filter((one) => one !== mirror) : []
  if (others.length === 0) return []
  return [
    `${others.join(', ')} of ${MIRRORS}: a daemon that keeps images in containerd asks them no more once hosts.toml names the node; name them in hosts.toml too`
  ]
}

function storeIn(text: string | undefined, path: string): DockerStore | undefined {
  if (text === undefined || text.trim() === '') return undefined
  const { features } = parseObject(text, path)
  const { 'containerd-snapshotter': snapshotter } = tableOf(features)
  if (typeof snapshotter !== 'boolean') return undefined
  return snapshotter ? 'containerd' : 'classic'
}

function addMirror(base: string | undefined, path: string, mirror: string) {
  const text = withItem(base ?? '', path, MIRRORS, mirror)
  if (text === undefined) return undefined
  const madeKey = base === undefined || base.trim() === '' || !Object.hasOwn(parseObject(base, path), MIRRORS)
  return {
    text,
    contribution: { kind: 'item', key: MIRRORS, item: mirror, madeKey } as const,
    // moby, daemon/reload.go: a key that is not in the file any more keeps its value.
    ...(madeKey && { undoRenewal: RESTART_DOCKER })
  }
}
