/** The value in the middle, of an even count the mean of the two. @throws {RangeError} when there is none */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

/** The value below which this share lies, between two values in proportion. @throws {RangeError} when there is none */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const position = (sorted.length - 1) * share
  const [below, above] = [sorted[Math.floor(position)], sorted[Math.ceil(position)]]
  if (below === undefined || above === undefined) throw new RangeError('there is no value')
  return below + (above - below) * (position - Math.floor(position))
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
