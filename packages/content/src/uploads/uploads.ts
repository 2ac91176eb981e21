import { randomBytes } from 'node:crypto'
import { OciError, type Repository } from '@layermesh/oci'
import type { Upload, Uploads } from '../interfaces.ts'
import { type UploadComponents, type UploadOptions, UploadSession } from './upload.ts'

export interface UploadsOptions extends UploadOptions {
  readonly maxUploads: number
  readonly maxUploadsPerRepository: number
  readonly uploadIdleMs: number
  readonly uploadSweepMs: number
}

const ID_BYTES = 16

/** All upload sessions. Their ids can't be guessed: whoever knows one was told it, or may list the store. */
export class UploadSessions implements Uploads {
  readonly #components: UploadComponents
  readonly #options: UploadsOptions
  readonly #sessions = new Map<string, UploadSession>()
  readonly #sweeper: NodeJS.Timeout
  #closed = false

  constructor(components: Omit<UploadComponents, 'onEnd'>, options: UploadsOptions) {
    this.#components = { ...components, onEnd: (id) => this.#sessions.delete(id) }
    this.#options = options
    this.#sweeper = setInterval(() => {
      this.sweep().catch(() => {})
    }, options.uploadSweepMs).unref()
  }

  /** Brings back the sessions of before the restart. Once, before anything else. */
  async load(): Promise<void> {
    for await (const [[id = ''], row] of this.#components.tables.uploads.range([])) {
      this.#sessions.set(id, new UploadSession(this.#components, this.#options, id, row))
    }
  }

  async create(repository: Repository): Promise<Upload> {
    this.#assertRoom(repository)
    const { metadata, tables, now } = this.#components
    const id = randomBytes(ID_BYTES).toString('hex')
    const row = { repository, offset: 0, touchedAt: now() }
    const session = new UploadSession(this.#components, this.#options, id, row)
    this.#sessions.set(id, session)
    try {
      await metadata.write([tables.uploads.put([id], row)])
      return session
    } catch (error) {
      this.#sessions.delete(id)
      throw error
    }
  }

  async get(repository: Repository, id: string): Promise<Upload | undefined> {
    const session = this.#sessions.get(id)
    return session?.repository === repository ? session : undefined
  }

  /** What the files of all sessions take up. */
  get bytes(): number {
    let sum = 0
    for (const { writtenBytes } of this.#sessions.values()) sum += writtenBytes
    return sum
  }

  /** Ends the sessions to which nothing was appended for long. */
  async sweep(): Promise<void> {
    const before = this.#components.now() - this.#options.uploadIdleMs
    for (const session of [...this.#sessions.values()]) {
      if (!this.#closed && session.idleSince(before)) await session.cancel()
    }
  }

  /** Breaks off what is being done. Sessions stay for after the restart. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    await Promise.all([...this.#sessions.values()].map((session) => session.close()))
  }

  #assertRoom(repository: Repository): void {
    const { maxUploads, maxUploadsPerRepository } = this.#options
    if (this.#sessions.size >= maxUploads) throw tooMany('too many uploads are open')
    const ofRepository = [...this.#sessions.values()].filter((session) => session.repository === repository)
    if (ofRepository.length >= maxUploadsPerRepository) throw tooMany('too many uploads of this repository are open')
  }
}

function tooMany(message: string): OciError {
  return new OciError('TOOMANYREQUESTS', message)
}
