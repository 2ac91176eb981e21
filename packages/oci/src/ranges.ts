/** Bytes `start` up to, but not including, `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}
