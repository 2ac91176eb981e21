import type { Digest } from '@layermesh/oci'

interface Given {
  readonly peer: string
  /** Undefined while it is being sent. */
  sentAt: number | undefined
}

/**
 * Which member of each zone was given which piece lately. Others of that zone get it from there: so an origin gives each
 * piece out about once while others still lack it, also when those who ask do not know of each other.
 */
export class GivenPieces {
  readonly #blobs = new Map<Digest, Map<string, Given>>()
  readonly #forMs: number
  readonly #maxBlobs: number

  constructor(options: { readonly givenForMs: number; readonly maxGivenBlobs: number }) {
    this.#forMs = options.givenForMs
    this.#maxBlobs = options.maxGivenBlobs
  }

  /** The peer of the zone that was given the piece. */
  holder(now: number, zone: string, digest: Digest, piece: number): string | undefined {
    const given = this.#blobs.get(digest)?.get(keyOf(zone, piece))
    return given?.sentAt === undefined || now - given.sentAt < this.#forMs ? given?.peer : undefined
  }

  /** The piece is promised to a peer. */
  begin(peer: string, zone: string, digest: Digest, piece: number): void {
    const pieces = this.#blobs.get(digest) ?? new Map<string, Given>()
    pieces.set(keyOf(zone, piece), { peer, sentAt: undefined })
    // The blob that was asked for last is the last to be forgotten.
    this.#blobs.delete(digest)
    this.#blobs.set(digest, pieces)
    const [oldest] = this.#blobs.keys()
    if (this.#blobs.size > this.#maxBlobs && oldest !== undefined) this.#blobs.delete(oldest)
  }

  sent(now: number, peer: string, zone: string, digest: Digest, piece: number): void {
    const given = this.#blobs.get(digest)?.get(keyOf(zone, piece))
    if (given?.peer === peer) given.sentAt = now
  }

  /** The peer did not get the piece after all. */
  takeBack(peer: string, zone: string, digest: Digest, piece: number): void {
    const pieces = this.#blobs.get(digest)
    if (pieces?.get(keyOf(zone, piece))?.peer === peer) pieces.delete(keyOf(zone, piece))
  }

  /** Nobody gets from a peer that is gone what it was given. */
  forget(peer: string): void {
    for (const pieces of this.#blobs.values()) {
      for (const [key, given] of pieces) if (given.peer === peer) pieces.delete(key)
    }
  }

  /** Drops what no longer keeps anybody from anything. */
  expire(now: number): void {
    for (const [digest, pieces] of this.#blobs) {
      for (const [key, { sentAt }] of pieces)
        if (sentAt !== undefined && now - sentAt >= this.#forMs) pieces.delete(key)
      if (pieces.size === 0) this.#blobs.delete(digest)
    }
  }
}

function keyOf(zone: string, piece: number): string {
  return `${piece} ${zone}`
}
