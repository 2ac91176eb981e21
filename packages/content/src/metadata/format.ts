import { read } from 'node:fs'
import { promisify } from 'node:util'
import {
  type Digest,
  digestAlgorithm,
  digestOf,
  isOciError,
  namedDescriptors,
  parseManifest,
  type Repository
} from '@layermesh/oci'
import type { Files } from '../disk/files.ts'
import type { Layout } from '../disk/layout.ts'
import { ContentError, errorCode } from '../errors.ts'
import type { Metadata } from './metadata.ts'
import { manifestChanges } from './repositories.ts'
import { ANY, type ManifestRow, type Tables } from './tables.ts'

/** The first one did not note what manifests name. */
const FIRST_FORMAT = 'layermesh content 1'
const FORMAT = 'layermesh content 2'

const readInto = promisify(read)

/** Brings a store of an earlier format to this one; a new store begins with it. @throws {ContentError} STORE_FORMAT */
export async function openFormat(
  metadata: Metadata,
  tables: Tables,
  disk: { readonly files: Files; readonly layout: Layout }
): Promise<void> {
  const format = await tables.store.get('format')
  if (format === FORMAT) return
  if (format !== undefined && format !== FIRST_FORMAT) {
    throw new ContentError('STORE_FORMAT', `this is a store of the format '${format}'`)
  }
  if (format === FIRST_FORMAT) await noteNames(metadata, tables, disk)
  await metadata.write([tables.store.put(['format'], FORMAT)])
}

async function noteNames(
  metadata: Metadata,
  tables: Tables,
  disk: { readonly files: Files; readonly layout: Layout }
): Promise<void> {
  for await (const [[repository], row] of tables.manifests.range([])) {
    const names = (await namesOf(row, disk)) ?? [ANY]
    await metadata.write(manifestChanges(tables, repository as Repository, { ...row, names }))
  }
}

/** What a manifest names; undefined when its bytes can't be read: then nobody knows what it needs. */
async function namesOf(
  { digest, size }: Omit<ManifestRow, 'names'>,
  { files, layout }: { readonly files: Files; readonly layout: Layout }
): Promise<Digest[] | undefined> {
  try {
    const file = await files.openForReading(layout.blobFile('blobs', digest))
    const bytes = new Uint8Array(size)
    await file.use((fd) => readInto(fd, bytes, 0, size, 0)).finally(() => file.close())
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) return undefined
    return namedDescriptors(parseManifest(bytes)).map((descriptor) => descriptor.digest)
  } catch (error) {
    if (isOciError(error) || errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}
