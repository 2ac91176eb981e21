import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Where a running node can be reached; also the content of its file `node.json`. */
export interface NodeInfo {
  readonly pid: number
  readonly peerId: string
  /** `http://HOST:PORT` or `https://HOST:PORT` of the registry API. */
  readonly registry: string
  /** `http://HOST:PORT` of the mirror listener, when there is one. */
  readonly mirror?: string
  /** `http://HOST:PORT` of the admin listener. */
  readonly admin: string
  /** Full multiaddrs to join through. */
  readonly meshAddresses: readonly string[]
}

const FILE = 'node.json'

/** Tells those who started the node, with ports of the system's choice perhaps, where it is; whole or not at all. */
export async function writeNodeFile(dataDir: string, info: NodeInfo): Promise<void> {
  const path = join(dataDir, FILE)
  await writeFile(`${path}.new`, `${JSON.stringify(info, null, 2)}\n`)
  await rename(`${path}.new`, path)
}

export async function removeNodeFile(dataDir: string): Promise<void> {
  await rm(join(dataDir, FILE), { force: true })
}

/** Where the node that runs on this data directory is; undefined when none does. A node that was killed leaves its note. */
export async function readNodeFile(dataDir: string): Promise<NodeInfo | undefined> {
  try {
    return JSON.parse(await readFile(join(dataDir, FILE), 'utf8')) as NodeInfo
  } catch {
    return undefined
  }
}
