import { stat } from 'node:fs/promises'
import { CliFailure } from '../failure.ts'
import type { ArchivedImages } from './archived-images.ts'
import { DirectoryFiles } from './directory-files.ts'
import { DOCKER_MANIFEST_FILE, readDockerArchive } from './docker-archive.ts'
import type { ImageFiles } from './image-files.ts'
import { LAYOUT_FILE, readOciLayout } from './oci-archive.ts'
import { TarFiles } from './tar-files.ts'

/** An archive of images that is open to be read. */
export interface OpenArchive extends ArchivedImages {
  readonly files: ImageFiles
}

/**
 * Opens an OCI layout (a directory, or a tar that may be gzip-compressed) or an archive of `docker save`. What newer
 * Dockers write is both: then it is the layout that is read, which has the manifests byte for byte.
 * @throws {CliFailure}
 */
export async function openArchive(path: string): Promise<OpenArchive> {
  const files = await openFiles(path)
  try {
    return { files, ...(await readArchive(files, path)) }
  } catch (error) {
    await files.close()
    throw error
  }
}

async function openFiles(path: string): Promise<ImageFiles> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new CliFailure('FAILED', `${path} can not be read (${error.code})`, { cause: error })
  })
  if (found.isDirectory()) return new DirectoryFiles(path)
  if (found.isFile()) return await TarFiles.open(path)
  throw new CliFailure('FAILED', `${path} is neither a file nor a directory; an archive has to lie on the disk`)
}

async function readArchive(files: ImageFiles, path: string): Promise<ArchivedImages> {
  if (await files.stat(LAYOUT_FILE)) return await readOciLayout(files)
  if (files instanceof TarFiles && (await files.stat(DOCKER_MANIFEST_FILE))) return await readDockerArchive(files)
  throw new CliFailure('FAILED', `${path} is neither an OCI layout nor an archive of docker save`)
}
