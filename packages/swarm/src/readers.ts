interface Reader {
  /** The piece that it awaits or awaited last. */
  piece: number
  at: number
}

export interface ReadersOptions {
  readonly readAheadPieces: number
  readonly maxReaders: number
  readonly readerIdleMs: number
}

/**
 * Where the readers of a blob are. A reader tells only what it awaits; when that is a little behind where another one
 * was, it is the same one gone on. Its place stays when the piece has come, since it will want what follows.
 */
export class Readers {
  readonly #options: ReadersOptions
  #readers: Reader[] = []

  constructor(options: ReadersOptions) {
    this.#options = options
  }

  awaits(piece: number, now: number, held: (piece: number) => boolean): void {
    const near = this.#readers.find(
      (reader) =>
        piece === reader.piece ||
        (held(reader.piece) && piece > reader.piece && piece <= reader.piece + this.#options.readAheadPieces)
    )
    if (near) {
      near.piece = piece
      near.at = now
      return
    }
    this.#readers.push({ piece, at: now })
    if (this.#readers.length > this.#options.maxReaders) {
      this.#readers.sort((one, other) => other.at - one.at)
      this.#readers.length = this.#options.maxReaders
    }
  }

  /** Forgets those who have what they awaited and asked for nothing since. */
  expire(now: number, held: (piece: number) => boolean): void {
    this.#readers = this.#readers.filter(({ piece, at }) => !held(piece) || now - at < this.#options.readerIdleMs)
  }

  /** What readers come to next: first the pieces at which they are, then those that follow. May name a piece twice. */
  *next(count: number): Generator<number> {
    for (const { piece } of this.#readers) yield piece
    for (const { piece: place } of this.#readers) {
      const end = Math.min(place + this.#options.readAheadPieces, count)
      for (let piece = place + 1; piece < end; piece++) yield piece
    }
  }

  /** The pieces at which readers are. */
  get places(): readonly Readonly<Reader>[] {
    return this.#readers
  }
}
