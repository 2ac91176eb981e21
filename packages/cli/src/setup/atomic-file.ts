import { basename, dirname, join } from 'node:path'
import type { Access, Disk } from './disk.ts'

/** What is left beside a file when its change was cut off; none of the clients reads such a name. */
function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.layermesh-new`)
}

/** Has a file be as said, or as it was before, whatever happens; there is no moment in which it is neither. */
export async function replaceFile(disk: Disk, path: string, bytes: Uint8Array, access: Partial<Access>): Promise<void> {
  await removeLeftover(disk, path)
  await disk.create(temporaryOf(path), bytes, access)
  await disk.rename(temporaryOf(path), path)
  await disk.sync(dirname(path))
}

export async function removeFile(disk: Disk, path: string): Promise<void> {
  await removeLeftover(disk, path)
  await disk.remove(path)
  if (await disk.isDirectory(dirname(path))) await disk.sync(dirname(path))
}

/** Takes away what a change that was cut off left beside the file. */
export async function removeLeftover(disk: Disk, path: string): Promise<void> {
  await disk.remove(temporaryOf(path))
}
