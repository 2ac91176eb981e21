import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { MeshNode } from '../../support/node.ts'

/** What the store has written of its metadata, in bytes: it grows when pieces of a download have become durable. */
export async function bytesOfMetadata(node: MeshNode): Promise<number> {
  const directory = join(node.dataDirectory, 'content/metadata')
  const logs = (await readdir(directory)).filter((name) => name.endsWith('.log'))
  const stats = await Promise.all(logs.map((name) => stat(join(directory, name))))
  return stats.reduce((sum, { size }) => sum + size, 0)
}
