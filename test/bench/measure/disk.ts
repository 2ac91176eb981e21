import { createWriteStream } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { runOk } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'

/** Writes a file, which is then in the page cache as what was just pushed is. */
export async function writeContent(path: string, content: Iterable<Buffer>): Promise<void> {
  await pipeline(Readable.from(content), createWriteStream(path))
}

const CHUNK = Buffer.alloc(8 * 1024 * 1024)

/**
 * Makes the disk idle, and memory ready for files of `bytes`. A virtual machine is given a page by its host only when it
 * touches it, and that time, which is longer than it takes to write to the page, counts as that of the process that wrote.
 */
export async function settleDisk({ directory }: Sandbox, bytes: number): Promise<void> {
  const file = join(directory, 'ballast')
  await writeFile(file, chunks(bytes))
  await runOk('sync', [])
  await rm(file)
}

function* chunks(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= CHUNK.byteLength) yield CHUNK.subarray(0, left)
}
