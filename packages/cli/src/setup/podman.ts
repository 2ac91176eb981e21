import { join } from 'node:path'
import { CliFailure } from '../failure.ts'
import { TomlText, tableOf } from './toml-text.ts'
import type { HostView, MirrorOptions, Plan } from './wish.ts'

/** Those that are asked from the node when nobody names any: podman knows no setting for all of them at once. */
export const PUBLIC_REGISTRIES = Object.freeze([
  'docker.io',
  'gcr.io',
  'ghcr.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'quay.io',
  'registry.k8s.io'
])
const FILE = '50-layermesh.conf'
const FOLDER_SUFFIX = '.d'

export interface PodmanOptions extends MirrorOptions {
  /** Its registries.conf; ours goes into the directory of the same name with `.d`. */
  readonly config: string
  /** Takes the place of a file of our name that we did not write. */
  readonly force: boolean
}

/** A `[[registry]]` that somebody else has set. */
interface Entry {
  readonly prefix: string
  readonly path: string
}

/**
 * Points podman, skopeo, buildah and CRI-O at the node by a file of our own (containers-registries.conf.d(5)). Of two
 * files with the same prefix the later one counts whole, so prefixes that the user has set are left to the user.
 * @throws CliFailure when that is one of those that were asked for by name, or nothing is left
 */
export async function planPodman(host: HostView, options: PodmanOptions): Promise<Plan> {
  const { config, registries, mirror } = options
  const folder = config + FOLDER_SUFFIX
  const entries = await readEntries(host, config, folder)
  const asked = registries.length > 0 ? registries : PUBLIC_REGISTRIES
  const taken = entries.filter(({ prefix }) => asked.includes(prefix))
  if (taken.length > 0 && registries.length > 0) {
    throw new CliFailure(
      'FAILED',
      `${describe(taken)} already, of which only one can count; add this to it instead: ${mirrorLine(options, taken[0]?.prefix ?? '')}`
    )
  }
  const free = asked.filter((registry) => !taken.some(({ prefix }) => prefix === registry))
  if (free.length === 0) throw new CliFailure('FAILED', `${describe(taken)} already; nothing is left to be set`)
  const within = entries.filter(({ prefix }) =>
    free.some((one) => prefix.startsWith(`${one}/`) || prefix === `*.${one}`)
  )
  const own = ownHost(mirror)
  const text = render(
    options,
    free,
    own !== undefined && !entries.some(({ prefix }) => prefix === own) ? own : undefined
  )
  const path = join(folder, FILE)
  const force = options.force || (await host.isOurs(path))
  return {
    wishes: [{ path, apply: (base) => applied(base, text, path, force) }],
    notes: [
      ...(taken.length > 0 ? [`${describe(taken)}, which was left as it is`] : []),
      ...(within.length > 0 ? [`${describe(within)}: there that counts, and the node is not asked`] : [])
    ]
  }
}

function applied(base: string | undefined, text: string, path: string, force: boolean) {
  if (base === text) return undefined
  if (base === undefined || force) return { text, contribution: { kind: 'lines', text, keys: [['registry']] } as const }
  throw new CliFailure(
    'FAILED',
    `${path} is there already and was not written by layermesh setup; take it away, or have it replaced with --force (undo brings it back)`
  )
}

async function readEntries(host: HostView, config: string, folder: string): Promise<readonly Entry[]> {
  const names = (await host.list(folder)).filter((name) => name.endsWith('.conf') && name !== FILE)
  const paths = [config, ...names.map((name) => join(folder, name))]
  const lists = await Promise.all(
    paths.map(async (path) => {
      const { value } = new TomlText((await host.read(path)) ?? '', path)
      refuseVersion1(value, path)
      const registries = Array.isArray(value.registry) ? value.registry : []
      return registries.map((entry) => {
        const { prefix, location } = tableOf(entry)
        return { prefix: String(prefix || location), path }
      })
    })
  )
  return lists.flat()
}

/** containers-registries.conf(5): both versions together are an error, for all images. */
function refuseVersion1({ registries }: Readonly<Record<string, unknown>>, path: string): void {
  const lists = Object.values(tableOf(registries)).map((one) => tableOf(one).registries)
  if (lists.some((list) => Array.isArray(list) && list.length > 0)) {
    throw new CliFailure(
      'FAILED',
      `${path} is of the old version 1 ([registries.search] and the like), beside which podman takes no file of version 2; write it anew first (containers-registries.conf(5))`
    )
  }
}

/** `localhost:5000`, by which images of the mesh itself are named, when the node speaks plain HTTP there. */
function ownHost(mirror: string): string | undefined {
  const { protocol, hostname, host } = new URL(mirror)
  return protocol === 'http:' && hostname === '127.0.0.1' ? host.replace(hostname, 'localhost') : undefined
}

function render(options: PodmanOptions, registries: readonly string[], own: string | undefined): string {
  const insecure = options.mirror.startsWith('http:')
  const pullFromMirror = options.tags === 'mesh' ? 'all' : 'digest-only'
  const head = '# Made by `layermesh setup podman`; `layermesh setup undo podman` takes it away.\n'
  const ours =
    own === undefined
      ? ''
      : `\n# The mesh's own images: ${own}/team/app:1\n[[registry]]\nlocation = ${JSON.stringify(own)}\ninsecure = true\n`
  const blocks = registries.map((registry) =>
    [
      '',
      '[[registry]]',
      `prefix = ${JSON.stringify(registry)}`,
      `location = ${JSON.stringify(registry)}`,
      '',
      '[[registry.mirror]]',
      `location = ${JSON.stringify(`${new URL(options.mirror).host}/${registry}`)}`,
      `insecure = ${insecure}`,
      `pull-from-mirror = ${JSON.stringify(pullFromMirror)}`,
      ''
    ].join('\n')
  )
  return head + ours + blocks.join('')
}

function mirrorLine({ mirror, tags }: PodmanOptions, registry: string): string {
  const insecure = mirror.startsWith('http:') ? ', insecure = true' : ''
  return `mirror = [{ location = ${JSON.stringify(`${new URL(mirror).host}/${registry}`)}${insecure}, pull-from-mirror = ${JSON.stringify(tags === 'mesh' ? 'all' : 'digest-only')} }]`
}

function describe(entries: readonly Entry[]): string {
  return entries.map(({ prefix, path }) => `${prefix} is set in ${path}`).join(', ')
}
