import type { Repository, Tag } from '@layermesh/oci'
import type { TagDirectory } from '../interfaces.ts'
import type { MeshHost } from '../network/host.ts'
import { type OpenTrustedRecord, tagKey } from './record-rules.ts'

/** A lookup ends after so many answers; each is signed, so more would only cost time. */
const ANSWERS_ENOUGH = 3

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
