import { readSecret } from './read-secret.ts'

/** Where a command writes. */
export interface Output {
  write(text: string): void
  readonly isTerminal: boolean
  /** Width of the terminal in characters. */
  readonly columns: number
  /** Height of the terminal in lines. */
  readonly rows: number
}

/** What a command needs of the process that it runs in. */
export interface CommandContext {
  readonly out: Output
  readonly err: Output
  readonly environment: Readonly<Record<string, string | undefined>>
  /** The script that was started, to start it again. */
  readonly entry: string
  /**
   * A line that nobody should see: typed at the terminal, where it does not show, or the first line of standard input.
   * @param prompt what a person is asked
   */
  readSecret(prompt: string): Promise<string>
  /** Whether a person types the secret. */
  readonly isTyped: boolean
}

const DEFAULT_COLUMNS = 80
const DEFAULT_ROWS = 24

/** The context of this very process. */
export function processContext(): CommandContext {
  return {
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    environment: process.env,
    entry: process.argv[1] ?? '',
    readSecret: (prompt) => readSecret(process.stdin, prompt, (text) => process.stderr.write(text)),
    isTyped: process.stdin.isTTY === true
  }
}

function outputOf(stream: NodeJS.WriteStream): Output {
  // Who reads through `head` closes the pipe early; that is no failure of ours.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns || DEFAULT_COLUMNS
    },
    get rows() {
      return stream.rows || DEFAULT_ROWS
    }
  }
}
