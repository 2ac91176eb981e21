import type { Figure } from './report/goals.ts'

/** What can be chosen on the command line; each benchmark reads what concerns it. */
export interface Options {
  /** How often it is measured; the medians are reported. */
  readonly runs: number
  readonly sizeBytes: number
  readonly hosts: number
  /** Of each host, each way. */
  readonly linkBitsPerSecond: number
  /** Between the zones, each way. */
  readonly farLinkBitsPerSecond: number
  readonly nodes: number
  /** How long an idle node is looked at. */
  readonly seconds: number
  /** Whether docker-registry is measured beside it where that takes minutes. */
  readonly registry: boolean
}

export interface Benchmark {
  readonly name: string
  readonly summary: string
  /** Whether it needs root and network namespaces. */
  readonly needsNetwork: boolean
  readonly defaults: Partial<Options>
  /** @param say tells how far it is */
  measure(options: Options, say: (text: string) => void): Promise<Report>
}

/** What a benchmark found. */
export interface Report {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly figures: readonly Figure[]
  /** What whoever reads the table has to know. */
  readonly notes: readonly string[]
  /** Every single run, for the JSON file. */
  readonly runs: readonly unknown[]
}
