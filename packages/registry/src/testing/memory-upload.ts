import { randomUUID } from 'node:crypto'
import { OciError, type Repository } from '@layermesh/oci'
import type { UploadSession } from '../interfaces.ts'

/** Where a {@link MemoryUpload} leads. */
interface MemoryUploadEnd {
  readonly commit: (bytes: Uint8Array, digest: Parameters<UploadSession['commit']>[0]) => void
  readonly close: () => void
}

/** One push of a blob into memory, with the promises of `content`'s uploads. */
export class MemoryUpload implements UploadSession {
  readonly id = randomUUID()
  readonly repository: Repository
  readonly #end: MemoryUploadEnd
  #bytes: Uint8Array = new Uint8Array()
  #busy = false

  constructor(repository: Repository, end: MemoryUploadEnd) {
    this.repository = repository
    this.#end = end
  }

  get offset(): number {
    return this.#bytes.byteLength
  }

  async append(
    bytes: AsyncIterable<Uint8Array>,
    { start, length }: { start?: number; length?: number }
  ): Promise<number> {
    if (this.#busy) throw new OciError('RANGE_INVALID', 'another chunk is being received')
    if (start !== undefined && start !== this.offset) throw new OciError('RANGE_INVALID', `expected ${this.offset}`)
    this.#busy = true
    try {
      const chunks: Uint8Array[] = [this.#bytes]
      for await (const chunk of bytes) chunks.push(new Uint8Array(chunk))
      const whole = Buffer.concat(chunks)
      if (length !== undefined && whole.byteLength !== this.offset + length) {
        throw new OciError('SIZE_INVALID', 'the chunk has another length')
      }
      this.#bytes = whole
      return this.offset
    } finally {
      this.#busy = false
    }
  }

  async commit(digest: Parameters<UploadSession['commit']>[0]): Promise<{ size: number }> {
    this.#end.close()
    this.#end.commit(this.#bytes, digest)
    return { size: this.offset }
  }

  async cancel(): Promise<void> {
    this.#end.close()
  }
}
