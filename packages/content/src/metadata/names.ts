import type { Digest, Repository } from '@layermesh/oci'
import { ANY, type Tables } from './tables.ts'

/** Whether something in a repository leads to a digest: it is a manifest there, a manifest names it, or a tag means it. */
export async function isNamed(tables: Tables, repository: Repository, digest: Digest): Promise<boolean> {
  if ((await tables.manifests.get(repository, digest)) !== undefined) return true
  return (await isNamedByManifest(tables, repository, digest)) || (await isTagged(tables, repository, digest))
}

/** Whether a manifest of a repository names a digest, or may do so as nobody could read it. */
export async function isNamedByManifest(tables: Tables, repository: Repository, digest: Digest): Promise<boolean> {
  for (const name of [digest, ANY]) {
    for await (const _ of tables.namedBy.range([repository, name], { limit: 1 })) return true
  }
  return false
}

/** Whether a tag of a repository means a digest. */
export async function isTagged(tables: Tables, repository: Repository, digest: Digest): Promise<boolean> {
  for await (const _ of tables.tagsOf.range([repository, digest], { limit: 1 })) return true
  return false
}
