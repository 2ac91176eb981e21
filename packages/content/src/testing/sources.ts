import type { Digest } from '@layermesh/oci'
import type { BeginDownload, BeginOptions, BlobSource, PartialBlob } from '../interfaces.ts'
import { pieceOf } from './bytes.ts'

/** A source that brings `bytes`, in the order of `pieces` if given, and notes which pieces it was still asked for. */
export function sourceOf(
  bytes: Uint8Array,
  options: Partial<BeginOptions> & { readonly pieces?: readonly number[] } = {}
): BlobSource & { readonly brought: number[] } {
  const { pieces, ...begin } = options
  const brought: number[] = []
  const source: BlobSource = async (_digest, start) => {
    const blob = await start({ size: bytes.byteLength, cutThrough: true, ...begin })
    for (const piece of pieces ?? Array.from({ length: blob.pieceCount }, (_, index) => index)) {
      if (blob.has(piece)) continue
      brought.push(piece)
      await blob.write(piece, pieceOf(bytes, piece))
    }
    return true
  }
  return Object.assign(source, { brought })
}

/** A source that a test drives by hand. */
export class ManualSource {
  readonly #asked = Promise.withResolvers<BeginDownload>()
  readonly #outcome = Promise.withResolvers<boolean>()
  /** How often it was asked. */
  calls = 0
  signal: AbortSignal | undefined

  readonly source: BlobSource = (_digest: Digest, begin, signal) => {
    this.calls++
    this.signal = signal
    this.#asked.resolve(begin)
    return this.#outcome.promise
  }

  /** Resolves once it was asked. */
  get asked(): Promise<BeginDownload> {
    return this.#asked.promise
  }

  async begin(options: BeginOptions): Promise<PartialBlob> {
    const begin = await this.#asked.promise
    return begin(options)
  }

  end(found: boolean): void {
    this.#outcome.resolve(found)
  }

  fail(error: Error): void {
    this.#outcome.reject(error)
  }
}
