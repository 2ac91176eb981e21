import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Descriptor, digestHex, digestOfHash } from '@layermesh/oci'

type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** A directory as image-spec §Image Layout lays it out: every client can push from it. */
export class OciLayout {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(directory: string): Promise<OciLayout> {
    await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
    await writeFile(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
    return new OciLayout(directory)
  }

  /** Where the bytes of a blob lie. */
  pathOf({ digest }: Pick<Descriptor, 'digest'>): string {
    return join(this.directory, 'blobs/sha256', digestHex(digest))
  }

  read(descriptor: Pick<Descriptor, 'digest'>): Promise<Buffer> {
    return readFile(this.pathOf(descriptor))
  }

  async addBlob(mediaType: string, content: Chunks): Promise<Descriptor> {
    const hash = createHash('sha256')
    const partial = join(this.directory, randomUUID())
    let size = 0
    async function* hashed() {
      for await (const chunk of content) {
        hash.update(chunk)
        size += chunk.length
        yield chunk
      }
    }
    await pipeline(hashed, createWriteStream(partial))
    const descriptor = { mediaType, digest: digestOfHash('sha256', hash.digest()), size }
    await rename(partial, this.pathOf(descriptor))
    return descriptor
  }

  addJson(mediaType: string, value: unknown): Promise<Descriptor> {
    return this.addBlob(mediaType, [Buffer.from(JSON.stringify(value))])
  }

  /** Says which image this layout holds. */
  async setImage(descriptor: Descriptor): Promise<void> {
    await writeFile(join(this.directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  }
}
