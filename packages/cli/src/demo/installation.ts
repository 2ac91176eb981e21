import { lstat, readdir, readFile, realpath } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

/** A file or a link that belongs in an image. */
export interface ImageFile {
  /** Path in the image, without a leading slash. */
  readonly path: string
  /** The file that it is made of. */
  readonly source?: string
  /** Where the link leads. */
  readonly linkTo?: string
}

/** The files that this very program runs from. */
export interface Installation {
  /** The Node binary. */
  readonly runtime: readonly ImageFile[]
  /** The packages of others, with the links by which they find each other. */
  readonly dependencies: readonly ImageFile[]
  /** Our own packages. */
  readonly program: readonly ImageFile[]
  /** Path in the image of the script that was started. */
  readonly entry: string
}

const HOME = 'opt/layermesh'
const OWN_SCOPE = '@layermesh/'
const OWN_DIRECTORIES = new Set(['bin', 'dist'])
const READ_AT_ONCE = 16

interface InstalledPackage {
  readonly name: string
  readonly directory: string
  readonly links: readonly { readonly path: string; readonly target: string }[]
}

/**
 * Finds all that runs here: the Node binary, the package of `entry` and, as Node resolves them, the packages that it
 * depends on. Symbolic links between packages stay links.
 * @param entry the script that was started
 */
export async function findInstallation(entry: string): Promise<Installation> {
  const script = await realpath(entry)
  const packages = await findPackages(dirname(dirname(script)))
  const root = commonParent([script, ...packages.map(({ directory }) => directory)])
  const place = (path: string) => `${HOME}/${relative(root, path)}`
  const own = packages.filter(({ name }) => name.startsWith(OWN_SCOPE))
  const others = packages.filter((one) => !own.includes(one))
  return {
    runtime: [{ path: 'usr/local/bin/node', source: await realpath(process.execPath) }],
    dependencies: await filesOf(others, place),
    program: await filesOf(own, place),
    entry: `/${place(script)}`
  }
}

async function findPackages(start: string): Promise<InstalledPackage[]> {
  const found = new Map<string, InstalledPackage>()
  const waiting = [start]
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (found.has(directory)) continue
    const one = await readPackage(directory)
    found.set(directory, one)
    waiting.push(...one.links.map(({ target }) => target))
  }
  return [...found.values()]
}

async function readPackage(directory: string): Promise<InstalledPackage> {
  const manifest: {
    name?: string
    dependencies?: Record<string, string>
    optionalDependencies?: Record<string, string>
  } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'))
  const names = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
  const links = await Promise.all(names.map((name) => resolvePackage(name, directory)))
  return { name: manifest.name ?? '', directory, links: links.filter((link) => link !== undefined) }
}

/** The first `node_modules/NAME` on the way up, as Node looks for it; undefined for an optional one that is not there. */
async function resolvePackage(name: string, from: string): Promise<{ path: string; target: string } | undefined> {
  for (let at = from; ; at = dirname(at)) {
    const path = join(at, 'node_modules', name)
    const target = await realpath(path).catch(() => undefined)
    if (target !== undefined) return { path, target }
    if (at === dirname(at)) return undefined
  }
}

async function filesOf(packages: readonly InstalledPackage[], place: (path: string) => string): Promise<ImageFile[]> {
  const files: ImageFile[] = []
  const links = new Map<string, ImageFile>()
  for (let i = 0; i < packages.length; i += READ_AT_ONCE) {
    const lists = await Promise.all(packages.slice(i, i + READ_AT_ONCE).map(listFiles))
    files.push(...lists.flat().map((source) => ({ path: place(source), source })))
  }
  for (const { path, target } of packages.flatMap((one) => one.links)) {
    if (!(await lstat(path)).isSymbolicLink()) continue
    links.set(path, { path: place(path), linkTo: relative(dirname(path), target) })
  }
  return [...files, ...links.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** The files of one package: of ours what is published, of others everything; packages inside it count by themselves. */
async function listFiles({ name, directory }: InstalledPackage): Promise<string[]> {
  const isOwn = name.startsWith(OWN_SCOPE)
  const visit = async (at: string): Promise<string[]> => {
    const entries = await readdir(at, { withFileTypes: true })
    const wanted = entries.filter((entry) => {
      if (entry.name === 'node_modules') return false
      if (!isOwn || at !== directory) return true
      return entry.isDirectory() ? OWN_DIRECTORIES.has(entry.name) : entry.name === 'package.json'
    })
    const lists = wanted.map((entry) => {
      const path = join(at, entry.name)
      if (entry.isDirectory()) return visit(path)
      return entry.isFile() ? [path] : []
    })
    return (await Promise.all(lists)).flat()
  }
  return visit(directory)
}

function commonParent(paths: readonly string[]): string {
  const [first = '/', ...rest] = paths
  let parent = dirname(first)
  while (rest.some((path) => !`${path}/`.startsWith(parent === '/' ? '/' : `${parent}/`))) parent = dirname(parent)
  return parent
}
