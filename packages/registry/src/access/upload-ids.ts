import type { Repository } from '@layermesh/oci'
import type { Caller } from '../interfaces.ts'
import type { Seal } from './seal.ts'

/**
 * The ids by which clients know upload sessions: `ID-MAC`. One that was given to somebody else, or in another
 * repository, means nothing.
 */
export class UploadIds {
  readonly #seal: Seal

  constructor(seal: Seal) {
    this.#seal = seal
  }

  /** What the client is told. */
  toClient(repository: Repository, caller: Caller, id: string): string {
    return `${id}-${this.#seal.mac('upload', repository, caller.name ?? null, id)}`
  }

  /** The session's own id; undefined when this client was never told of it. */
  fromClient(repository: Repository, caller: Caller, told: string): string | undefined {
    const dash = told.lastIndexOf('-')
    const id = told.slice(0, Math.max(0, dash))
    return this.#seal.isMac(told.slice(dash + 1), 'upload', repository, caller.name ?? null, id) ? id : undefined
  }
}
