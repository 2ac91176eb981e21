import type { TagClient, TagDirectory } from '@layermesh/mesh'
import type { Repository, Tag } from '@layermesh/oci'
import PQueue from 'p-queue'

const DHT_CONCURRENCY = 2
const DHT_DEADLINE_MS = 10_000
const DHT_QUEUE = 4_096

/** Spreads records that this seed signed: to connected peers at once, into the DHT as it gets round to it. */
export class TagPublisher {
  readonly #components: {
    client: Pick<TagClient, 'announce'>
    directory: Pick<TagDirectory, 'put'>
    log: { debug(fields: object, message: string): void }
  }
  readonly #queue = new PQueue({ concurrency: DHT_CONCURRENCY })

  constructor(components: {
    client: Pick<TagClient, 'announce'>
    directory: Pick<TagDirectory, 'put'>
    log: { debug(fields: object, message: string): void }
  }) {
    this.#components = components
  }

  publish(repository: Repository, tag: Tag, envelope: Uint8Array): void {
    const { client, directory, log } = this.#components
    client.announce(envelope)
    // The DHT is the last resort; a record that finds no room in the queue is spread when it is next renewed.
    if (this.#queue.size >= DHT_QUEUE) return
    this.#queue
      .add(() => directory.put(repository, tag, envelope, AbortSignal.timeout(DHT_DEADLINE_MS)))
      .catch((error) => log.debug({ repository, tag, err: error }, 'a tag record did not reach the DHT'))
  }
}
