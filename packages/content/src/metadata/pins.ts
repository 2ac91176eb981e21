import type { Digest, Repository } from '@layermesh/oci'
import type { Guards } from '../cache/guards.ts'
import type { Pin, Pins } from '../interfaces.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Change, Metadata } from './metadata.ts'
import type { Tables } from './tables.ts'

export interface PinsComponents {
  readonly metadata: Metadata
  readonly tables: Tables
  readonly guards: Guards
}

const ALL = 'all'

/**
 * Pins, and the digests that each covers: the manifest, what it names, and of an index what its manifests name that are
 * here. A manifest that comes later brings its names under the pin with it.
 */
export class StoredPins implements Pins {
  readonly #metadata: Metadata
  readonly #tables: Tables
  readonly #guards: Guards
  readonly #lock = new KeyedLock()

  constructor({ metadata, tables, guards }: PinsComponents) {
    this.#metadata = metadata
    this.#tables = tables
    this.#guards = guards
  }

  add({ repository, digest, reference, at }: Pin): Promise<void> {
    return this.#lock.run(ALL, async () => {
      const hold = await this.#guards.hold([digest])
      try {
        // The pin counts before its digests are looked up, so that a manifest that comes meanwhile extends it.
        const { pins } = this.#tables
        await this.#metadata.write([
          pins.put([repository, digest], { reference, at, complete: false }),
          ...this.#cover(repository, digest, digest)
        ])
        await this.#coverNamed(repository, digest)
        await this.#metadata.write([pins.put([repository, digest], { reference, at, complete: true })])
      } finally {
        hold.release()
      }
    })
  }

  /** Ends what a crash broke off. Once, before anything else. */
  async load(): Promise<void> {
    for await (const [[repository, digest], { complete, ...pin }] of this.#tables.pins.range([])) {
      if (!complete) await this.add({ repository: repository as Repository, digest: digest as Digest, ...pin })
    }
  }

  remove(repository: Repository, digest: Digest): Promise<boolean> {
    return this.#lock.run(ALL, async () => {
      const { pins, pinned } = this.#tables
      if ((await pins.get(repository, digest)) === undefined) return false
      await this.#metadata.write([pins.del([repository, digest])])
      for await (const [[name]] of pinned.range([repository, digest])) {
        await this.#metadata.write(this.#uncover(repository, digest, name as Digest))
      }
      return true
    })
  }

  async *list(): AsyncGenerator<Pin> {
    for await (const [[repository, digest], { reference, at }] of this.#tables.pins.range([])) {
      yield { repository: repository as Repository, digest: digest as Digest, reference, at }
    }
  }

  async bytes(): Promise<number> {
    let sum = 0
    let last: string | undefined
    for await (const [[digest]] of this.#tables.pinnedBy.range([])) {
      if (digest === last) continue
      last = digest
      sum += (await this.#tables.blobs.get(digest as Digest))?.size ?? 0
    }
    return sum
  }

  /** Whether a pin covers this digest. What an unpin that broke off left counts no more. */
  async covers(digest: Digest): Promise<boolean> {
    for await (const [[repository, pin]] of this.#tables.pinnedBy.range([digest])) {
      if ((await this.#tables.pins.get(repository as Repository, pin as Digest)) !== undefined) return true
    }
    return false
  }

  /** Forgets what a pin covered that is no more. @returns how many rows that were */
  forgetLeftovers(): Promise<number> {
    return this.#lock.run(ALL, async () => {
      let forgotten = 0
      for await (const [[repository = '', pin = '', digest = '']] of this.#tables.pinned.range([])) {
        const key = [repository as Repository, pin as Digest, digest as Digest] as const
        if ((await this.#tables.pins.get(key[0], key[1])) !== undefined) continue
        await this.#metadata.write(this.#uncover(...key))
        forgotten++
      }
      return forgotten
    })
  }

  /** The changes that bring what a manifest names under the pins that cover the manifest in this repository. */
  async extend(repository: Repository, manifest: Digest, names: readonly Digest[]): Promise<Change[]> {
    const changes: Change[] = []
    for await (const [[pin]] of this.#tables.pinnedBy.range([manifest, repository])) {
      for (const name of names) changes.push(...this.#cover(repository, pin as Digest, name))
    }
    return changes
  }

  async #coverNamed(repository: Repository, pin: Digest): Promise<void> {
    const seen = new Set<Digest>()
    const open: Digest[] = [pin]
    for (let digest = open.pop(); digest !== undefined; digest = open.pop()) {
      if (seen.has(digest)) continue
      seen.add(digest)
      const { names = [] } = (await this.#tables.manifests.get(repository, digest)) ?? {}
      const hold = await this.#guards.hold(names)
      try {
        await this.#metadata.write(names.flatMap((name) => this.#cover(repository, pin, name)))
      } finally {
        hold.release()
      }
      open.push(...names)
    }
  }

  #cover(repository: Repository, pin: Digest, digest: Digest): Change[] {
    return [
      this.#tables.pinned.put([repository, pin, digest], true),
      this.#tables.pinnedBy.put([digest, repository, pin], true)
    ]
  }

  #uncover(repository: Repository, pin: Digest, digest: Digest): Change[] {
    return [this.#tables.pinned.del([repository, pin, digest]), this.#tables.pinnedBy.del([digest, repository, pin])]
  }
}
