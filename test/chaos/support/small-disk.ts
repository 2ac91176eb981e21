import { mkdtemp, open, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, runOk } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'

const CHUNK = Buffer.alloc(64 * 1024)
const SMALLEST = 512

/** Why no disk can be mounted here; undefined when one can. */
export async function whyNoMount(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'needs tmpfs'
  const directory = await mkdtemp(join(tmpdir(), 'lm-mount-'))
  try {
    const { code } = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory])
    if (code !== 0) return 'must be run by root that may mount'
    await runOk('umount', [directory])
    return undefined
  } finally {
    await rmdir(directory)
  }
}

/** A disk of its own, of a few MiB, for the data of the node of this name. It goes with the sandbox. */
export class SmallDisk {
  readonly #filler: string

  private constructor(directory: string) {
    this.#filler = join(directory, 'filler')
  }

  static async mount(sandbox: Sandbox, nodeName: string, bytes: number): Promise<SmallDisk> {
    const directory = await sandbox.makeDirectory(nodeName)
    await runOk('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory])
    return new SmallDisk(directory)
  }

  /** Takes all the space that is left, to the last byte, as a neighbour on the same disk would. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, 'a')
    try {
      for (let length = CHUNK.length; length >= SMALLEST; length /= 2) {
        while (await fits(() => file.write(CHUNK.subarray(0, length)), length));
      }
    } finally {
      await file.close()
    }
  }

  /** Gives that space back. */
  async free(): Promise<void> {
    await rm(this.#filler)
  }
}

async function fits(write: () => Promise<{ bytesWritten: number }>, length: number): Promise<boolean> {
  try {
    return (await write()).bytesWritten === length
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false
    throw error
  }
}
