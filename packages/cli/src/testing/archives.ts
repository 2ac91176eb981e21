import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Descriptor, digestOf, MEDIA_TYPE } from '@layermesh/oci'
import { type Header, pack } from 'tar-stream'

/** What a test puts into a tar: content, or something else that a header says. */
export type PackedEntry = readonly [header: Partial<Header> & { name: string }, content?: string | Uint8Array]

/** A directory of a test's own, which is gone after it. */
export class ArchiveFixture implements AsyncDisposable {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(): Promise<ArchiveFixture> {
    return new ArchiveFixture(await mkdtemp(join(tmpdir(), 'layermesh-archive-')))
  }

  async tar(entries: readonly PackedEntry[], { gzip = false } = {}): Promise<string> {
    const path = join(this.directory, gzip ? 'images.tar.gz' : 'images.tar')
    const tar = pack()
    for (const [header, content] of entries) {
      if (content === undefined) tar.entry(header)
      else tar.entry(header, Buffer.from(content as string))
    }
    tar.finalize()
    const out = createWriteStream(path)
    await (gzip ? pipeline(tar, createGzip(), out) : pipeline(tar, new PassThrough(), out))
    return path
  }

  async files(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
    const directory = join(this.directory, 'layout')
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(directory, name)), { recursive: true })
      await writeFile(join(directory, name), content)
    }
    return directory
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** The files of an OCI layout, made one after the other. */
export class LayoutFiles {
  readonly files: Record<string, string | Uint8Array> = { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' }

  blob(mediaType: string, content: string | Uint8Array): Descriptor {
    const bytes = Buffer.from(content as string)
    const digest = digestOf(bytes)
    this.files[`blobs/${digest.replace(':', '/')}`] = bytes
    return { mediaType, digest, size: bytes.length }
  }

  image(name: string, more: object = {}): Descriptor {
    const config = this.blob(MEDIA_TYPE.ociConfig, JSON.stringify({ name }))
    const layers = [this.blob(MEDIA_TYPE.ociLayerGzip, `layer of ${name}`)]
    const mediaType = MEDIA_TYPE.ociManifest
    return this.blob(mediaType, JSON.stringify({ schemaVersion: 2, mediaType, config, layers, ...more }))
  }

  indexOf(manifests: readonly object[]): Descriptor {
    return this.blob(
      MEDIA_TYPE.ociIndex,
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests })
    )
  }

  /** Says which images there are. */
  finish(manifests: readonly object[]): Readonly<Record<string, string | Uint8Array>> {
    this.files['index.json'] = JSON.stringify({ schemaVersion: 2, manifests })
    return this.files
  }
}

export function entriesOf(files: Readonly<Record<string, string | Uint8Array>>): PackedEntry[] {
  return Object.entries(files).map(([name, content]) => [{ name }, content])
}

/** An image as an annotation names it. */
export function named(descriptor: Descriptor, name: string, key = 'org.opencontainers.image.ref.name'): object {
  return { ...descriptor, annotations: { [key]: name } }
}
