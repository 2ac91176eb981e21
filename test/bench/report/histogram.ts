import type { Sample } from '../../support/metrics.ts'

/** How many values there were up to a limit and above the one before it; the last limit may be infinite. */
export interface Bucket {
  readonly limit: number
  readonly count: number
}

/** A histogram out of Prometheus' samples, those of several sources added up. */
export function histogramOf(samples: readonly Sample[], name: string): Bucket[] {
  const totals = new Map<number, number>()
  for (const { labels, value } of samples.filter((sample) => sample.name === `${name}_bucket`)) {
    const limit = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)
    totals.set(limit, (totals.get(limit) ?? 0) + value)
  }
  const sorted = [...totals].sort(([a], [b]) => a - b)
  return sorted.map(([limit, total], i) => ({ limit, count: total - (sorted[i - 1]?.[1] ?? 0) }))
}

/** The value below which this share of the values lies, in proportion within its bucket; NaN when there are none. */
export function quantile(buckets: readonly Bucket[], share: number): number {
  const wanted = share * buckets.reduce((total, { count }) => total + count, 0)
  let below = 0
  let from = 0
  for (const { limit, count } of buckets) {
    if (count > 0 && below + count >= wanted) {
      return limit === Number.POSITIVE_INFINITY ? limit : from + ((limit - from) * (wanted - below)) / count
    }
    below += count
    from = limit
  }
  return Number.NaN
}
