import { createHash } from 'node:crypto'
import type { Repository, Tag } from '@layermesh/oci'

const NAMESPACE = 'layermesh-tag'

/** How the DHT judges tag records: it keeps only those that a trusted signer made for the key. */
export interface TagRecordRules {
  readonly namespace: string
  /** @throws when the record is not valid for the key */
  validate(key: Uint8Array, value: Uint8Array): Promise<void>
  /** Index of the best of several valid records. */
  select(key: Uint8Array, values: Uint8Array[]): Promise<number>
}

/** Reads a signed tag record of a signer who may sign for its repository; throws on any other. */
export type OpenTrustedRecord = (
  envelope: Uint8Array
) => Promise<{ repository: Repository; tag: Tag; sequence: number }>

/** The key of a tag's record: `/layermesh-tag/` and the SHA-256 of `repository:tag`, in hex. */
export function tagKey(repository: Repository, tag: Tag): Uint8Array {
  return Buffer.from(`/${NAMESPACE}/${createHash('sha256').update(`${repository}:${tag}`).digest('hex')}`)
}

export function tagRecordRules(open: OpenTrustedRecord): TagRecordRules {
  return {
    namespace: NAMESPACE,
    validate: async (key, value) => {
      const { repository, tag } = await open(value)
      if (!Buffer.from(key).equals(tagKey(repository, tag))) throw new Error('the record is for another tag')
    },
    select: async (_key, values) => {
      const sequences = await Promise.all(
        values.map(async (value) => (await open(value).catch(() => undefined))?.sequence ?? -1)
      )
      return sequences.indexOf(Math.max(...sequences))
    }
  }
}
