const MAX_LINES = 2000
const MAX_LINE_LENGTH = 2000
const TAIL_LINES = 40

interface Waiter {
  readonly pattern: RegExp
  readonly resolve: (line: string | undefined) => void
}

/** The last lines that a process printed. */
export class LogTail {
  readonly #lines: string[] = []
  readonly #waiters = new Set<Waiter>()
  #partial = ''

  write(chunk: Buffer | string): void {
    const lines = (this.#partial + chunk.toString()).split('\n')
    this.#partial = lines.pop() ?? ''
    for (const line of lines) this.#add(line)
  }

  find(pattern: RegExp): string | undefined {
    return this.#lines.find((line) => pattern.test(line))
  }

  findAll(pattern: RegExp): string[] {
    return this.#lines.filter((line) => pattern.test(line))
  }

  /** A line that matches, now or later; undefined when none has come after `timeoutMs`. */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<string | undefined> {
    const line = this.find(pattern)
    if (line !== undefined) return Promise.resolve(line)
    return new Promise((resolve) => {
      const waiter: Waiter = { pattern, resolve: (found) => this.#settle(waiter, timer, resolve, found) }
      const timer = setTimeout(() => waiter.resolve(undefined), timeoutMs)
      this.#waiters.add(waiter)
    })
  }

  tail(): string {
    return [...this.#lines, this.#partial].slice(-TAIL_LINES).join('\n')
  }

  #add(line: string): void {
    this.#lines.push(line.slice(0, MAX_LINE_LENGTH))
    if (this.#lines.length > MAX_LINES) this.#lines.shift()
    for (const waiter of this.#waiters) if (waiter.pattern.test(line)) waiter.resolve(line)
  }

  #settle(
    waiter: Waiter,
    timer: NodeJS.Timeout,
    resolve: (line: string | undefined) => void,
    line: string | undefined
  ): void {
    clearTimeout(timer)
    this.#waiters.delete(waiter)
    resolve(line)
  }
}
