import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

// Runs the OCI conformance suite, the Go program whose version suite/go.mod pins.

const SUITE = 'github.com/opencontainers/distribution-spec/conformance'
const SUITE_MODULE = new URL('./suite/', import.meta.url).pathname
/** Only ends what hangs: the first run builds it. */
const TIMEOUT_MS = 800_000
/** Modules that are not here are fetched, and the network may be gone for a moment. */
const BUILD_ATTEMPTS = 3
const BUILD_PAUSE_MS = 20_000
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024

/** What one run of the suite found. */
export interface SuiteResult {
  /** Number of tests that passed. */
  readonly passed: number
  /** Names and reasons of the tests that failed, or that the suite itself could not carry out. */
  readonly failures: readonly SuiteRemark[]
  /** Tests that were left out, with the suite's reason. */
  readonly skipped: readonly SuiteRemark[]
}

export interface SuiteRemark {
  readonly test: string
  readonly reason: string
}

export interface SuiteRun {
  /** Where the registry is, `http://HOST:PORT`. */
  readonly url: string
  /** Version of the distribution-spec: `1.0`, `1.1` or `dev`. */
  readonly version: string
  /** Further settings of the suite, without their `OCI_`. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Tells whether the Go toolchain that the suite needs is here. */
export async function hasGo(): Promise<boolean> {
  return (await run('go', ['version'], process.env)).status === 0
}

/** Builds the suite when it is not in Go's cache. @throws {Error} with what Go says when that fails */
export async function buildSuite(): Promise<void> {
  for (let left = BUILD_ATTEMPTS - 1; ; left--) {
    const { status, output } = await run('go', ['-C', SUITE_MODULE, 'tool', '-n', SUITE], process.env)
    if (status === 0) return
    if (left === 0) throw new Error(`the conformance suite could not be built:\n${output}`)
    await sleep(BUILD_PAUSE_MS)
  }
}

/**
 * Runs the suite. Its result is read from what it prints: on some runs without push it fails while it writes its report
 * files, and its exit code does not tell.
 * @throws {Error} with its output when it came to no result
 */
export async function runSuite({ url, version, settings = {} }: SuiteRun): Promise<SuiteResult> {
  const results = await mkdtemp(join(tmpdir(), 'layermesh-conformance-'))
  try {
    const given = {
      REGISTRY: new URL(url).host,
      TLS: 'disabled',
      VERSION: version,
      LOG: 'info',
      RESULTS_DIR: results,
      ...settings
    }
    const { output } = await run('go', ['-C', SUITE_MODULE, 'tool', SUITE], suiteEnvironment(given))
    return readReport(output)
  } finally {
    await rm(results, { recursive: true, force: true })
  }
}

/** The environment without settings for the suite that came from outside, and with these. */
function suiteEnvironment(settings: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('OCI_'))
  const given = Object.entries(settings).map(([name, value]) => [`OCI_${name}`, value])
  return Object.fromEntries([...inherited, ...given])
}

const RESULT = /^OCI Conformance Result: \w+$/m
const COUNT = /^ {2}(Disabled|Skip|Pass|FAIL|Error)\.+: +(\d+)$/gm
const NODE = /^ *OCI Conformance Test\/(.+): (Disabled|Skip|Pass|FAIL|Error|Unknown)$/
const LEFT_OUT = /msg="skipping test" name="OCI Conformance Test\/([^"]+)" error=("(?:[^"\\]|\\.)*")/g

/** Reads the tree of tests, each with its errors below it, and the counts after it. */
function readReport(output: string): SuiteResult {
  const end = RESULT.exec(output)
  if (end === null) throw new Error(`the conformance suite came to no result:\n${output}`)
  const counts = new Map(
    [...output.slice(end.index).matchAll(COUNT)].map(([, status, count]) => [status, Number(count)])
  )
  const remarks = readTree(output)
  const failures = remarks.filter(({ status }) => status === 'FAIL' || status === 'Error' || status === 'Unknown')
  if (failures.length === 0 && (counts.get('FAIL') !== 0 || counts.get('Error') !== 0)) {
    throw new Error(`the conformance suite counts failures that it does not name:\n${output}`)
  }
  const skipped = remarks.filter(({ status }) => status === 'Skip' || status === 'Disabled')
  return { passed: counts.get('Pass') ?? 0, failures, skipped }
}

/** The tests without others below them that did not pass, with the suite's reasons. */
function readTree(output: string): (SuiteRemark & { status: string })[] {
  const reasons = new Map(
    [...output.matchAll(LEFT_OUT)].map(([, test, text = '""']) => [test, String(JSON.parse(text))])
  )
  const found: { test: string; status: string; reason: string }[] = []
  const [tree = ''] = output.split('\nConfiguration:\n')
  for (const line of tree.split('\n')) {
    const [, test, status] = NODE.exec(line) ?? []
    const last = found.at(-1)
    if (test !== undefined && status !== undefined) {
      if (last !== undefined && test.startsWith(`${last.test}/`)) found.pop()
      found.push({ test, status, reason: status === 'Pass' ? '' : (reasons.get(test) ?? '') })
    } else if (last !== undefined && last.status !== 'Pass') {
      last.reason = `${last.reason} ${line.trim()}`.trim()
    }
  }
  return found.filter(({ status }) => status !== 'Pass')
}

function run(
  command: string,
  parameters: readonly string[],
  env: NodeJS.ProcessEnv
): Promise<{ status: number; output: string }> {
  const options = { env, timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES }
  return new Promise((resolve) => {
    execFile(command, parameters, options, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : 1, output: `${stdout}${stderr}${error?.message ?? ''}` })
    })
  })
}
