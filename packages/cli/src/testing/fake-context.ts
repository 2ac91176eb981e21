import type { CommandContext, Output } from '../context.ts'

/** An output that keeps what is written. */
export class FakeOutput implements Output {
  text = ''
  readonly isTerminal: boolean
  readonly columns: number
  readonly rows: number

  constructor({
    isTerminal = false,
    columns = 80,
    rows = 24
  }: Partial<Pick<Output, 'isTerminal' | 'columns' | 'rows'>> = {}) {
    this.isTerminal = isTerminal
    this.columns = columns
    this.rows = rows
  }

  write(text: string): void {
    this.text += text
  }
}

/** A context without a process. */
export function fakeContext(
  environment: CommandContext['environment'] = {},
  secrets: readonly string[] = []
): CommandContext & { out: FakeOutput; err: FakeOutput } {
  const typed = [...secrets]
  return {
    out: new FakeOutput(),
    err: new FakeOutput(),
    environment,
    entry: '',
    readSecret: async () => typed.shift() ?? '',
    isTyped: secrets.length > 1
  }
}
