import { setTimeout as wait } from 'node:timers/promises'
import type { Digest } from '@layermesh/oci'
import type { BlobOrigin } from '../interfaces.ts'

export interface FakeOriginOptions {
  /** @default 'registry.example' */
  readonly name?: string
  /** What it says the length is. */
  readonly size?: number
  /** Bytes of one chunk. @default 65536 */
  readonly chunkBytes?: number
  /** Pause before each chunk. @default 0 */
  readonly chunkMs?: number
  /** Pause before it answers. @default 0 */
  readonly answerMs?: number
  /** It answers nobody before this. */
  readonly answersAfter?: Promise<void>
  /** The body breaks off at this offset, each time. */
  readonly cutAt?: number
  /** The body falls silent at this offset. */
  readonly silentAt?: number
  /** The body gives no more than so many bytes before this. */
  readonly pause?: { readonly at: number; readonly until: Promise<void> }
  /** What it throws instead of an answer. */
  readonly refusal?: Error
}

/** A registry outside the mesh that has one blob, or none, and counts what it gave. */
export class FakeOrigin implements BlobOrigin {
  readonly name: string
  readonly starts: number[] = []
  givenBytes = 0
  /** How many bodies it gave, and how many of them were not closed. */
  bodies = 0
  openBodies = 0
  readonly #bytes: Uint8Array | undefined
  /** What counts for the next chunk, also of a body that is given already. */
  options: FakeOriginOptions

  constructor(bytes: Uint8Array | undefined, options: FakeOriginOptions = {}) {
    this.#bytes = bytes
    this.options = options
    this.name = options.name ?? 'registry.example'
  }

  async open(_digest: Digest, start: number, signal: AbortSignal) {
    this.starts.push(start)
    await this.options.answersAfter
    if (this.options.answerMs) await wait(this.options.answerMs, undefined, { signal })
    if (this.options.refusal) throw this.options.refusal
    if (!this.#bytes) return undefined
    const body = this.#body(this.#bytes, start, signal)
    this.bodies++
    this.openBodies++
    signal.addEventListener('abort', () => this.openBodies--, { once: true })
    return { size: this.options.size ?? this.#bytes.byteLength, body }
  }

  async *#body(bytes: Uint8Array, start: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { chunkBytes = 65_536 } = this.options
    for (let offset = start; offset < bytes.byteLength; offset += chunkBytes) {
      const { chunkMs = 0, cutAt, silentAt, pause } = this.options
      if (cutAt !== undefined && offset >= cutAt) throw new Error('the connection was cut')
      if (pause && offset >= pause.at) await pause.until
      await wait(silentAt !== undefined && offset >= silentAt ? 60_000 : chunkMs, undefined, { signal })
      const chunk = bytes.subarray(offset, offset + chunkBytes)
      this.givenBytes += chunk.byteLength
      yield chunk
    }
  }
}
