import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'

export interface ProgramInit {
  /** A path, or a name that is looked for in the PATH of `env`. */
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly input: string
  /** Ends it at once, with whatever it started. */
  readonly signal: AbortSignal
  /** @default 1 MiB */
  readonly maxOutputBytes?: number
}

export interface ProgramResult {
  readonly exitCode: number | undefined
  readonly output: string
}

const MAX_OUTPUT_BYTES = 1024 * 1024

/**
 * Runs a program without a shell, gives it `input`, and takes what it writes to its standard output. Its standard error is
 * read by nobody, since it may quote secrets.
 * @throws {RangeError} when it writes more than it may; the reason of `signal`; an error with a `code` when it can't be started
 */
export async function runProgram(init: ProgramInit): Promise<ProgramResult> {
  const { file, args, env, input, signal, maxOutputBytes = MAX_OUTPUT_BYTES } = init
  signal.throwIfAborted()
  // A group of its own, so that what it starts ends with it: that would keep its output open.
  const detached = process.platform !== 'win32'
  const child = spawn(file, args, { env: { ...env }, stdio: 'pipe', detached, windowsHide: true })
  const { promise, resolve, reject } = Promise.withResolvers<ProgramResult>()
  const chunks: Buffer[] = []
  let length = 0
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > maxOutputBytes) reject(new RangeError(`wrote more than ${maxOutputBytes} bytes`))
    else chunks.push(chunk)
  })
  child.stderr.resume()
  child.on('error', reject)
  child.on('close', (code) => {
    resolve({ exitCode: code ?? undefined, output: Buffer.concat(chunks).toString('utf8') })
  })
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  // Whoever does not read its input closes it, which is no failure.
  child.stdin.on('error', () => {}).end(input)
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    end(child)
  }
}

function end(child: ChildProcessWithoutNullStreams): void {
  for (const stream of child.stdio) stream?.destroy()
  if (child.pid === undefined) return
  try {
    if (process.platform === 'win32') child.kill('SIGKILL')
    else process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}
