/**
 * One bit for each piece of a blob, most significant bit of the first byte first (as BitTorrent, BEP 3, lays it out).
 * Pure data: it grows no further than the length it was made with.
 */
export class Bitfield {
  readonly length: number
  readonly #bytes: Uint8Array
  #count = 0

  /** @param length how many bits there are */
  constructor(length: number) {
    this.length = length
    this.#bytes = new Uint8Array(Math.ceil(length / 8))
  }

  /** A bitfield of `length` bits, all set. */
  static full(length: number): Bitfield {
    const field = new Bitfield(length)
    for (let index = 0; index < length; index++) field.set(index)
    return field
  }

  /** Reads packed bits; undefined unless there are exactly as many bytes as `length` bits need, with no bit set past the end. */
  static fromBytes(bytes: Uint8Array, length: number): Bitfield | undefined {
    if (bytes.byteLength !== Math.ceil(length / 8)) return undefined
    const field = new Bitfield(length)
    for (let index = 0; index < bytes.byteLength * 8; index++) {
      if (((bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) === 0) continue
      if (index >= length) return undefined
      field.set(index)
    }
    return field
  }

  /** How many bits are set. */
  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0
  }

  /** Sets a bit and tells whether it was clear before; a bit outside the field is ignored. */
  set(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (0x80 >> (index & 7))
    this.#count++
    return true
  }

  /** Clears a bit and tells whether it was set before. */
  clear(index: number): boolean {
    if (!this.has(index)) return false
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(0x80 >> (index & 7))
    this.#count--
    return true
  }

  /** The packed bits, a copy. */
  toBytes(): Uint8Array {
    return this.#bytes.slice()
  }
}
