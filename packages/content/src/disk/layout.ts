import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Digest, digestAlgorithm, digestHex, isDigest } from '@layermesh/oci'

export type BlobArea = 'blobs' | 'partial'

/** Makes every path in the directory of a store; nothing else does. */
export interface Layout {
  readonly metadata: string
  readonly uploads: string
  readonly temporary: string
  /** The directories that must be there, parents first. */
  readonly directories: readonly string[]
  /** The directories that hold one directory for each first byte of a digest. */
  algorithmDirectory(area: BlobArea, algorithm: string): string
  prefixDirectory(area: BlobArea, algorithm: string, prefix: string): string
  /** The directory that holds the file of a blob. */
  blobDirectory(area: BlobArea, digest: Digest): string
  blobFile(area: BlobArea, digest: Digest): string
  uploadFile(id: string): string
  temporaryFile(name: string): string
  /** A new name for a file that is being written. */
  newTemporaryFile(): string
}

export const ALGORITHMS = ['sha256', 'sha512'] as const

/**
 * The layout of a store on disk:
 *
 *     DIRECTORY/
 *     ├── metadata/                    LevelDB: all that is known of the files below; see tables.ts
 *     ├── blobs/
 *     │   ├── sha256/3f/3f7a…          a whole blob, named by its digest; never changed in place
 *     │   └── sha512/…
 *     ├── partial/
 *     │   ├── sha256/3f/3f7a…          an unfinished download: sparse, as long as the blob will be
 *     │   └── sha512/…
 *     ├── uploads/
 *     │   └── 5b0c…                    the bytes of an upload session, named by its id
 *     └── temporary/
 *         └── 90ae…                    small content being written; dropped at open
 *
 * No name that a client chose is ever part of a path: digests and ids are hex.
 */
export function createLayout(directory: string): Layout {
  const uploads = join(directory, 'uploads')
  const temporary = join(directory, 'temporary')
  const areas: BlobArea[] = ['blobs', 'partial']
  const algorithmDirectory = (area: BlobArea, algorithm: string) => join(directory, area, algorithm)
  const prefixDirectory = (area: BlobArea, algorithm: string, prefix: string) =>
    join(algorithmDirectory(area, algorithm), prefix)
  const blobDirectory = (area: BlobArea, digest: Digest) =>
    prefixDirectory(area, digestAlgorithm(digest), digestHex(digest).slice(0, 2))
  return {
    metadata: join(directory, 'metadata'),
    uploads,
    temporary,
    directories: [
      directory,
      uploads,
      temporary,
      ...areas.flatMap((area) => [
        join(directory, area),
        ...ALGORITHMS.map((algorithm) => algorithmDirectory(area, algorithm))
      ])
    ],
    algorithmDirectory,
    prefixDirectory,
    blobDirectory,
    blobFile: (area, digest) => join(blobDirectory(area, digest), digestHex(digest)),
    uploadFile: (id) => join(uploads, id),
    temporaryFile: (name) => join(temporary, name),
    newTemporaryFile: () => join(temporary, randomBytes(16).toString('hex'))
  }
}

/** The digest that a file name below `algorithm/prefix/` stands for; undefined for a file that is not ours. */
export function digestOfFile(algorithm: string, prefix: string, name: string): Digest | undefined {
  const digest = `${algorithm}:${name}`
  return isDigest(digest) && name.startsWith(prefix) && prefix.length === 2 ? digest : undefined
}
