import { describe, expect, it } from 'vitest'
import { bytesOf, MIB } from '../testing/bytes.ts'
import { readRange, type VerifiedPieces } from './verified-pieces.ts'

/** A blob of ten pieces that notes which of them were asked for, and whether it was told that they are not needed. */
function tenPieces(pieceLength: number) {
  const asked: number[] = []
  const signals: AbortSignal[] = []
  const blob: VerifiedPieces = {
    size: 10 * pieceLength,
    pieceLength,
    piece: async (index, signal) => {
      asked.push(index)
      signals.push(signal)
      return bytesOf(16, index)
    }
  }
  return { blob, asked, signals }
}

describe('a range of verified pieces', () => {
  it('is read two pieces ahead of the consumer, and no further', async () => {
    const { blob, asked } = tenPieces(MIB)
    const chunks = readRange(blob, { start: 2 * MIB, end: 6 * MIB })
    expect(asked).toEqual([])
    for (const expected of [
      [2, 3, 4],
      [2, 3, 4, 5],
      [2, 3, 4, 5],
      [2, 3, 4, 5]
    ]) {
      await chunks.next()
      expect(asked).toEqual(expected)
    }
    expect((await chunks.next()).done).toBe(true)
  })

  it('is not read ahead where pieces are so large that two would be too much', async () => {
    const { blob, asked } = tenPieces(16 * MIB)
    const chunks = readRange(blob, { start: 0, end: blob.size })
    await chunks.next()
    expect(asked).toEqual([0])
    await chunks.next()
    expect(asked).toEqual([0, 1])
    await chunks.return(undefined)
  })

  it('ends what was read ahead when the consumer leaves', async () => {
    const { blob, signals } = tenPieces(MIB)
    const chunks = readRange(blob, { start: 0, end: blob.size })
    await chunks.next()
    await chunks.return(undefined)
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true])
  })

  it('gives the bad piece as an error only after the good ones before it', async () => {
    const { blob } = tenPieces(MIB)
    const bad = {
      ...blob,
      piece: async (index: number) => (index === 1 ? Promise.reject(new Error('bad')) : bytesOf(9))
    }
    const chunks = readRange(bad, { start: 0, end: blob.size })
    expect((await chunks.next()).value).toEqual(bytesOf(9))
    await expect(chunks.next()).rejects.toThrow('bad')
  })
})
