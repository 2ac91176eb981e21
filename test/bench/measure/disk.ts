import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

/** Writes a file, which is then in the page cache as what was just pushed is. */
export async function writeContent(path: string, content: Iterable<Buffer>): Promise<void> {
  await pipeline(Readable.from(content), createWriteStream(path))
}
