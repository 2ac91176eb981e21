import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { CliFailure } from '../failure.ts'
import { differOnlyIn, TomlText, tableOf } from './toml-text.ts'
import type { Client, HostView, MirrorOptions, Wish } from './wish.ts'

const EVERY = '_default'
const FILE = 'hosts.toml'
/** What containerd takes as certificates of a registry when there is no hosts.toml beside them. */
const CERTIFICATE = /\.(crt|cert|key)$/

export interface HostsOptions extends MirrorOptions {
  readonly client: Client
  /** Directories such as /etc/containerd/certs.d in the order in which they are searched; files go to the first. */
  readonly roots: readonly string[]
  /** How long an unreachable node may hold a pull up; only containerd 2 knows it. */
  readonly dialTimeout?: string
}

/**
 * The `hosts.toml` files by which containerd, and Docker where it keeps images in containerd, find a mirror
 * (github.com/containerd/containerd, docs/hosts.md). The first directory that is there counts for a registry: its own,
 * else `_default`; they are not merged. So settings that are there are kept and the node comes first in them, and a
 * file that would hide others is not made.
 * @throws CliFailure when it would hide what the user has set
 */
export async function planHosts(
  host: HostView,
  options: HostsOptions
): Promise<{ wishes: readonly Wish[]; notes: readonly string[] }> {
  const { registries } = options
  if (registries.length > 0) {
    const paths = await Promise.all(registries.map((registry) => fileOf(host, options, registry)))
    return { wishes: paths.map((path) => wishFor(path, options)), notes: [] }
  }
  const path = await defaultFile(host, options)
  const own = (await foldersIn(host, options.roots[0] ?? '')).filter((name) => name !== EVERY)
  const notes =
    own.length === 0
      ? []
      : [
          `${own.join(', ')}: settings of their own in ${options.roots[0]}, which are left as they are and do not ask the node; name them with --registry to have it come first there`
        ]
  return { wishes: [wishFor(path, options)], notes }
}

/** The names of its directories under which containerd looks for a registry, in its order. */
function foldersOf(registry: string): readonly string[] {
  const port = registry.lastIndexOf(':')
  return port === -1 ? [registry] : [`${registry.slice(0, port)}_${registry.slice(port + 1)}_`, registry]
}

async function fileOf(host: HostView, { roots, client }: HostsOptions, registry: string): Promise<string> {
  for (const root of roots) {
    const there = await foldersIn(host, root)
    const folder = foldersOf(registry).find((name) => there.includes(name))
    if (folder !== undefined) return withoutCertificates(host, join(root, folder))
    if (there.includes(EVERY) && (await host.read(join(root, EVERY, FILE))) !== undefined) {
      throw new CliFailure(
        'FAILED',
        `${join(root, EVERY, FILE)} has settings for all registries, which a file for ${registry} would hide; leave out --registry: \`layermesh setup ${client}\` puts the node first there`
      )
    }
  }
  return join(roots[0] ?? '', registry, FILE)
}

async function defaultFile(host: HostView, { roots, client }: HostsOptions): Promise<string> {
  const [first = '', ...later] = roots
  for (const root of later) {
    const hidden = (await foldersIn(host, first)).includes(EVERY) ? [] : await foldersIn(host, root)
    if (hidden.length > 0) {
      throw new CliFailure(
        'FAILED',
        `settings for all registries in ${first} would hide those of ${root} (${hidden.join(', ')}); say with \`layermesh setup ${client} --registry HOST\` which registries the node is to be asked for`
      )
    }
  }
  return withoutCertificates(host, join(first, EVERY))
}

/** The path of hosts.toml in a directory whose certificates would not be read any more once that file is there. */
async function withoutCertificates(host: HostView, directory: string): Promise<string> {
  const path = join(directory, FILE)
  const certificates = (await host.list(directory)).filter((name) => CERTIFICATE.test(name))
  if (certificates.length === 0 || (await host.read(path)) !== undefined) return path
  throw new CliFailure(
    'FAILED',
    `${directory} has certificates (${certificates.join(', ')}) that are not read any more once a hosts.toml is beside them; write one that names them with ca and client, then do this again`
  )
}

/** Directories of registries that hold anything; one that is empty hides nothing. */
export async function foldersIn(host: HostView, root: string): Promise<readonly string[]> {
  const names = await host.list(root)
  const filled = await Promise.all(names.map(async (name) => (await host.list(join(root, name))).length > 0))
  return names.filter((_, index) => filled[index])
}

function wishFor(path: string, options: HostsOptions): Wish {
  const { mirror, tags, client, dialTimeout } = options
  const capabilities = tags === 'mesh' ? ['pull', 'resolve'] : ['pull']
  const wanted = { capabilities, ...(dialTimeout === undefined ? {} : { dial_timeout: dialTimeout }) }
  const lines = [
    `# Made by \`layermesh setup ${client}\`: the node is asked first. \`layermesh setup undo ${client}\` takes it out.`,
    `[host.${JSON.stringify(mirror)}]`,
    `  capabilities = [${capabilities.map((one) => JSON.stringify(one)).join(', ')}]`,
    ...(dialTimeout === undefined ? [] : [`  dial_timeout = ${JSON.stringify(dialTimeout)}`]),
    ''
  ].join('\n')
  const key = ['host', mirror]
  return {
    path,
    apply(base) {
      if (base === undefined) return { text: lines, contribution: { kind: 'lines', text: lines, keys: [key] } }
      const file = new TomlText(base, path)
      const there = file.get(key)
      if (there !== undefined) {
        if (isDeepStrictEqual({ ...tableOf(there) }, wanted) && firstHost(file) === mirror) return undefined
        throw new CliFailure(
          'FAILED',
          `${path} names ${mirror} already, in another way than it would be written here; take that out first, or leave it`
        )
      }
      if (file.isGenerated) {
        throw new CliFailure(
          'FAILED',
          `${path} is written anew by another program (it says DO NOT EDIT); name ${mirror} in the settings of that program, such as registries.yaml of k3s`
        )
      }
      const at = file.firstTableAt
      const before = base.slice(0, at)
      const text = `${before === '' || before.endsWith('\n') ? '' : '\n'}${lines}${at === base.length ? '' : '\n'}`
      const after = before + text + base.slice(at)
      if (!differOnlyIn([key], file.value, new TomlText(after, path).value)) throw unsafe(path)
      return { text: after, contribution: { kind: 'lines', text, keys: [key] } }
    }
  }
}

function firstHost(file: TomlText): string | undefined {
  return Object.keys(tableOf(file.get(['host'])))[0]
}

function unsafe(path: string): CliFailure {
  return new CliFailure(
    'FAILED',
    `${path} can not be changed safely; write host as tables of their own, or change it by hand`
  )
}
