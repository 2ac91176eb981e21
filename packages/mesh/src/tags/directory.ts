import { createHash } from 'node:crypto'
import type { Repository, Tag } from '@layermesh/oci'
import type { TagDirectory } from '../interfaces.ts'
import type { MeshHost } from '../network/host.ts'

const NAMESPACE = 'layermesh-tag'
/** A lookup ends after so many answers; each is signed, so more would only cost time. */
const ANSWERS_ENOUGH = 3

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

/** Tag records in kad-dht. */
export class DhtTagDirectory implements TagDirectory {
  readonly #host: MeshHost
  readonly #open: OpenTrustedRecord

  constructor(host: MeshHost, open: OpenTrustedRecord) {
    this.#host = host
    this.#open = open
  }

  async put(repository: Repository, tag: Tag, envelope: Uint8Array, signal: AbortSignal): Promise<void> {
    for await (const _event of this.#host.services.dht.put(tagKey(repository, tag), envelope, { signal })) {
      // The walk has to be driven to its end; its events tell nothing that is needed.
    }
  }

  /** The record with the highest sequence among the first answers; undefined when `signal` ends the walk before one came. */
  async get(repository: Repository, tag: Tag, signal: AbortSignal): Promise<Uint8Array | undefined> {
    let best: { sequence: number; envelope: Uint8Array } | undefined
    let answers = 0
    try {
      // The walk's own choice comes only after its end; each answer is looked at as it comes.
      for await (const event of this.#host.services.dht.get(tagKey(repository, tag), { signal })) {
        const value =
          event.name === 'PEER_RESPONSE' ? event.record?.value : event.name === 'VALUE' ? event.value : undefined
        if (value === undefined) continue
        const record = await this.#open(value).catch(() => undefined)
        if (record?.repository !== repository || record.tag !== tag) continue
        if (!best || record.sequence > best.sequence) best = { sequence: record.sequence, envelope: value }
        if (++answers >= ANSWERS_ENOUGH) break
      }
    } catch (error) {
      if (!signal.aborted && !best) throw error
    }
    return best?.envelope
  }
}
