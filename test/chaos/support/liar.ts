import { fileURLToPath } from 'node:url'
import { HANG_MS } from '../../support/http.ts'
import type { Contact, MeshNode } from '../../support/node.ts'
import type { ManagedProcess } from '../../support/process.ts'
import type { Sandbox } from '../../support/sandbox.ts'
import type { KnownBlob } from './known-blob.ts'
import type { LiarInit, LiarLine } from './liar-program.ts'

const PROGRAM = fileURLToPath(new URL('./liar-program.ts', import.meta.url))

export interface LiarOptions {
  readonly name: string
  readonly join: readonly Contact[]
  readonly seed: MeshNode
  readonly zone: string
  readonly secretFile?: string
  readonly blob: KnownBlob
  /** It lies about each piece whose number this divides. */
  readonly everyNth: number
}

/** A process that is a member of the mesh, fetches a blob as others do, and gives wrong bytes for some of its pieces. */
export class Liar implements Contact {
  readonly peerId: string
  readonly meshAddresses: readonly string[]
  readonly process: ManagedProcess

  private constructor(process: ManagedProcess, { peerId, meshAddresses }: Extract<LiarLine, { did: 'start' }>) {
    this.process = process
    this.peerId = peerId
    this.meshAddresses = meshAddresses
  }

  /** Starts it; it fetches the blob as soon as it can. */
  static async start(sandbox: Sandbox, options: LiarOptions): Promise<Liar> {
    const { name, join, seed, blob, ...rest } = options
    const { digest, size, repository } = blob
    const directory = await sandbox.makeDirectory(name)
    const addresses = join.flatMap(({ meshAddresses }) => meshAddresses)
    const init: LiarInit = { ...rest, directory, join: addresses, seed: seed.peerId, digest, size, repository }
    const flags = ['--conditions=layermesh-source', PROGRAM, JSON.stringify(init)]
    const process = sandbox.start(name, globalThis.process.execPath, flags)
    const line = await process.waitForLine(/"did":"start"/, HANG_MS)
    return new Liar(process, JSON.parse(line) as Extract<LiarLine, { did: 'start' }>)
  }

  /** Waits until it has the whole blob. */
  async fetched(): Promise<void> {
    await this.process.waitForLine(/"did":"fetch"/, HANG_MS)
  }

  /** Whether it has given wrong bytes to anybody. */
  get hasLied(): boolean {
    return this.process.log.find(/"did":"lie"/) !== undefined
  }
}
