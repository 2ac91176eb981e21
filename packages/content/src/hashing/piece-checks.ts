import { Bitfield } from '@layermesh/oci'
import { HASH_LENGTH, MAC_LENGTH } from './lengths.ts'

/** What makes the MAC of one piece differ from that of any other in this process. */
export interface MacNonce {
  readonly blob: number
  readonly piece: number
}

let lastBlob = 0

/** A number for a blob that no other has. */
export function newNonceBlob(): number {
  return ++lastBlob
}

/**
 * What the pieces of one blob are checked against when they come from the disk.
 *
 * At first that is their SHA-256. Bytes that passed get a MAC under a key that this process made and tells nobody, and
 * later reads of them are checked by that, which takes a sixth of the time. It is no weaker: MACs and key are in memory
 * only, so that whoever can write to the disk has no better way than to guess one of 2^100, and chance less.
 */
export class PieceChecks {
  /** The SHA-256 of each piece, one after the other. */
  readonly hashes: Uint8Array
  readonly #blob: number
  readonly #known: Bitfield
  readonly #macs: Uint8Array

  /** @param blob of the MACs that were made already */
  constructor(hashes: Uint8Array, blob = newNonceBlob()) {
    const pieces = hashes.byteLength / HASH_LENGTH
    this.hashes = hashes
    this.#blob = blob
    this.#known = new Bitfield(pieces)
    this.#macs = new Uint8Array(pieces * MAC_LENGTH)
  }

  /** How much memory this takes, in bytes. */
  get byteLength(): number {
    return this.hashes.byteLength + this.#macs.byteLength
  }

  hash(piece: number): Uint8Array {
    return hashOfPiece(this.hashes, piece)
  }

  /** What the piece must be from now on; bytes that were verified before do not count. */
  setHash(piece: number, hash: Uint8Array): void {
    this.hashes.set(hash, piece * HASH_LENGTH)
    this.#known.clear(piece)
  }

  nonce(piece: number): MacNonce {
    return { blob: this.#blob, piece }
  }

  /** The MAC of a piece whose bytes were verified in this process. */
  mac(piece: number): Uint8Array | undefined {
    return this.#known.has(piece) ? this.#macs.subarray(piece * MAC_LENGTH, (piece + 1) * MAC_LENGTH) : undefined
  }

  /** Keeps the MAC of bytes that have the SHA-256 of the piece. */
  keepMac(piece: number, mac: Uint8Array): void {
    this.#macs.set(mac, piece * MAC_LENGTH)
    this.#known.set(piece)
  }
}

/** The hash of one piece among those of all. */
export function hashOfPiece(hashes: Uint8Array, index: number): Uint8Array {
  return hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH)
}
