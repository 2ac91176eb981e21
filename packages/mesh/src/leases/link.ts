import { isOciError } from '@layermesh/oci'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { MeshError } from '../errors.ts'
import { isWritable } from '../exchange/stream-sender.ts'
import { LIMITS } from '../limits.ts'

/** One end of a stream that carries the messages of one asker and one arbiter, until either side ends it. */
export class LeaseLink {
  readonly #stream: Stream
  readonly #messages: ReturnType<typeof lpStream<Stream>>
  #closed = false

  /** @param onClosed told once, with what the peer is to blame for, if anything */
  constructor(stream: Stream, onMessage: (bytes: Uint8Array) => void, onClosed: (error?: MeshError) => void) {
    this.#stream = stream
    this.#messages = lpStream(stream, { maxDataLength: LIMITS.leaseMessageBytes })
    const end = (error?: MeshError) => {
      if (this.#closed) return
      this.#closed = true
      if (stream.status === 'open') stream.abort(error ?? new MeshError('PEER_UNREACHABLE', 'the stream ended'))
      onClosed(error)
    }
    stream.addEventListener('close', () => end())
    void this.read(onMessage).catch((error) => end(blameOf(error)))
  }

  get open(): boolean {
    return !this.#closed && isWritable(this.#stream)
  }

  send(message: Uint8Array): void {
    if (this.open) this.#messages.write(message).catch(() => this.close())
  }

  close(): void {
    if (this.#stream.status === 'open') this.#stream.abort(new MeshError('PEER_UNREACHABLE', 'closed here'))
  }

  private async read(onMessage: (bytes: Uint8Array) => void): Promise<never> {
    for (;;) {
      const message = (await this.#messages.read()).subarray()
      try {
        onMessage(message)
      } catch (error) {
        // A later version may say what is not known here.
        if (!isOciError(error, 'UNSUPPORTED')) throw error
      }
    }
  }
}

function blameOf(error: unknown): MeshError | undefined {
  if (error instanceof MeshError) return error
  const name = error instanceof Error ? error.name : ''
  if (!['InvalidDataLengthError', 'InvalidDataLengthLengthError'].includes(name)) return undefined
  return new MeshError('PEER_MISBEHAVED', 'a message that is too long', { cause: error })
}
