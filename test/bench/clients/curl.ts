import { runOk } from '../../support/process.ts'

const TIMEOUT_MS = 10 * 60_000
const QUIET = ['--silent', '--show-error', '--fail', '--noproxy', '*', '--output', '/dev/null']
/** The shell's own `time` counts what curl took; curl can't tell. */
const TIMED = 'TIMEFORMAT="%U %S"; time curl "$@"'

export interface CurlTimes {
  readonly seconds: number
  /** CPU time that curl itself took. */
  readonly cpuSeconds: number
  /** The `Location` that was answered; empty when there was none. */
  readonly location: string
}

/** Downloads and throws away. */
export function download(url: string): Promise<CurlTimes> {
  return curl([url])
}

/** Sends a file as the body of a request. @param chunked sends it without saying its length before, as docker does */
export function upload(method: 'PUT' | 'PATCH', url: string, file: string, chunked: boolean): Promise<CurlTimes> {
  const length = chunked ? ['Transfer-Encoding: chunked'] : []
  const headers = ['Expect:', 'Content-Type: application/octet-stream', ...length]
  return curl(['--request', method, '--upload-file', file, ...headers.flatMap((header) => ['--header', header]), url])
}

async function curl(args: readonly string[]): Promise<CurlTimes> {
  const format = ['--write-out', '%{time_total} %header{location}\n']
  const output = await runOk('bash', ['-c', `{ ${TIMED}; } 2>&1`, 'curl', ...QUIET, ...format, ...args], {
    timeoutMs: TIMEOUT_MS
  })
  const [answer = '', times = ''] = output.split('\n')
  const [seconds, location = ''] = answer.split(' ')
  const [user = Number.NaN, system = Number.NaN] = times.split(' ').map(Number)
  return { seconds: Number(seconds), cpuSeconds: user + system, location }
}
