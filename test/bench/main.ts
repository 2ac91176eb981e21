import { execFileSync } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { whyNoNetwork } from '../support/network/namespace.ts'
import type { Benchmark, Options, Report } from './benchmark.ts'
import { BENCHMARKS } from './benchmarks/index.ts'
import { DEFAULTS, readCommandLine, UsageError } from './options.ts'
import { FIGURE_HEAD, type Figure, figureRow } from './report/goals.ts'
import { formatTable } from './report/table.ts'
import { interruptSandboxes } from './sandboxes.ts'

/* `pnpm bench NAME`: measures, prints tables, writes all raw results as JSON. README.md says what is measured. */

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const INTERRUPTED = 130
const TIDY_UP_LIMIT_MS = 60_000

interface Result {
  readonly name: string
  readonly options: Options
  readonly report: Report
}

let interrupted = false

async function main(args: readonly string[]): Promise<number> {
  const { name, chosen, jsonFile } = readCommandLine(args)
  const benchmarks = name === 'all' ? BENCHMARKS : BENCHMARKS.filter((benchmark) => benchmark.name === name)
  if (benchmarks.length === 0) throw new UsageError(`there is no benchmark ${name}`)
  const missing = benchmarks.some(({ needsNetwork }) => needsNetwork) ? await whyNoNetwork() : undefined
  if (missing !== undefined) {
    console.error(`bench: ${name} ${missing}`)
    return 1
  }
  const startedAt = new Date().toISOString()
  const results: Result[] = []
  const failed: string[] = []
  let path = jsonFile
  for (const benchmark of benchmarks) {
    try {
      results.push(await measure(benchmark, chosen))
    } catch (error) {
      if (interrupted) throw error
      console.error(`bench: ${benchmark.name} failed:`, error)
      failed.push(benchmark.name)
    }
    path ??= join(await mkdtemp(join(tmpdir(), 'lm-bench-')), `${name}.json`)
    await writeFile(path, JSON.stringify({ startedAt, machine: describeMachine(), results, failed }, undefined, 2))
  }
  if (benchmarks.length > 1) printFigures(results.flatMap(({ report }) => report.figures))
  console.log(`all runs: ${path}`)
  if (failed.length > 0) console.error(`bench: failed: ${failed.join(', ')}`)
  return failed.length > 0 ? 1 : 0
}

async function measure(benchmark: Benchmark, chosen: Partial<Options>): Promise<Result> {
  const options = { ...DEFAULTS, ...benchmark.defaults, ...chosen }
  const report = await benchmark.measure(options, (text) => console.error(`${benchmark.name}: ${text}`))
  console.log(`\n${benchmark.name}: ${benchmark.summary}\n\n${formatTable(report.head, report.rows)}`)
  printFigures(report.figures)
  for (const note of report.notes) console.log(note)
  return { name: benchmark.name, options, report }
}

function printFigures(figures: readonly Figure[]): void {
  console.log(`\n${formatTable(FIGURE_HEAD, figures.map(figureRow))}\n`)
}

function describeMachine() {
  const [cpu] = cpus()
  return {
    cores: cpus().length,
    cpu: cpu?.model,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    commit: execFileSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim()
  }
}

function usage(): string {
  const names = BENCHMARKS.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`)
  return [
    'usage: pnpm bench NAME [--runs N] [--size 256MiB] [--hosts N] [--link 100mbit] [--far-link 50mbit]',
    '                       [--nodes N] [--seconds N] [--no-registry] [--json FILE]',
    ...names,
    '  all         one after the other'
  ].join('\n')
}

for (const signal of SIGNALS) {
  // Terminals and shells send more than one; the default would end this process in the middle of tidying up.
  process.on(signal, () => {
    if (interrupted) return
    interrupted = true
    console.error('bench: interrupted; tidying up')
    interruptSandboxes()
    setTimeout(() => process.exit(INTERRUPTED), TIDY_UP_LIMIT_MS).unref()
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (interrupted) process.exitCode = INTERRUPTED
  else if (error instanceof UsageError) {
    console.error(`bench: ${error.message}\n${usage()}`)
    process.exitCode = 2
  } else {
    console.error(error)
    process.exitCode = 1
  }
}
